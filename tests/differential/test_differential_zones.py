"""The same with ``USE_TZ`` off, and with a ``TIME_ZONE`` of the database's own: for the cases that
have to do with moments, and with each type of field."""

from __future__ import annotations

import pytest

from tests.differential.case import Case
from tests.differential.cases import bulk, expressions, kinds, moments, particular, writing
from tests.differential.harness import Differential

MODULES = (bulk, expressions, kinds, moments, particular, writing)
CASES = [case for module in MODULES for case in module.cases.all]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_gives_the_same_in_another_zone(zoned: Differential, case: Case) -> None:
    zoned.check(case)
