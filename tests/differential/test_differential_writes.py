"""Every case of `cases` that writes gives the same, and leaves the same rows."""

from __future__ import annotations

import pytest

from tests.differential.case import Case
from tests.differential.cases import CASES
from tests.differential.harness import Differential

WRITES = [each for each in CASES if each.writes]


@pytest.mark.parametrize("case", WRITES, ids=str)
def test_it_writes_the_same(differential: Differential, case: Case) -> None:
    differential.check(case)
