"""Every case of `cases` gives the same on both sides, in each world of time zones."""

from __future__ import annotations

import pytest

from tests.differential.cases import CASES
from tests.differential.case import Case
from tests.differential.harness import Differential


@pytest.mark.parametrize("case", [each for each in CASES if not each.writes], ids=str)
def test_it_gives_the_same(differential: Differential, case: Case) -> None:
    differential.check(case)


@pytest.mark.parametrize("case", [each for each in CASES if each.writes], ids=str)
def test_it_writes_the_same(differential: Differential, case: Case) -> None:
    differential.check(case)
