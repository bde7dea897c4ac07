"""The table of what each store can do: what the contract's tests prove, as Markdown."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from tests.integration.contract.abilities import ABILITIES
from tests.integration.contract.under_test import StoreUnderTest, stores_under_test

FILE = Path(__file__).resolve().parents[3] / "docs" / "managers" / "capabilities.md"

_BEFORE = """# What each store can do

Every cell is proved by a test on a running server: where it says "yes", that the manager does it;
where it says "no", that it refuses with `NotSupportedError`, which names what the store can do
instead. Nothing is fetched whole to be filtered in Python. PostgresManager has Django's own
QuerySets: what they do by other names is on its page.

This page is written by `python -m tests.integration.contract`.
"""


def _cell(store: StoreUnderTest, ability: str) -> str:
    if ability in store.otherwise:
        return "[as in Django](postgres.md)"
    return "no" if ability in store.cannot else "yes"


def table() -> str:
    stores = stores_under_test()
    parts = [_BEFORE]
    for group, abilities in groupby(ABILITIES, key=lambda each: each.group):
        head = ["", *(store.name for store in stores)]
        rows = [[each.name, *(_cell(store, each.name) for store in stores)] for each in abilities]
        lines = [head, ["---"] * len(head), *rows]
        parts.append(f"## {group}\n")
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n")
    return "\n".join(parts)
