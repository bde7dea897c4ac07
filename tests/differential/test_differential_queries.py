"""Every case of `cases` that reads gives the same on all sides."""

from __future__ import annotations

import pytest

from tests.differential.case import Case
from tests.differential.cases import CASES
from tests.differential.harness import Differential

READS = [each for each in CASES if not each.writes]


@pytest.mark.parametrize("case", READS, ids=str)
def test_it_gives_the_same(differential: Differential, case: Case) -> None:
    differential.check(case)


def test_it_streams_the_same(differential: Differential) -> None:
    cases = [each for each in READS if each.is_chain and not each.fails and each.group != "many"]
    assert sum(map(differential.check_streamed, cases)) > 1000
