"""What to write instead of an option that a driver does not have."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping


def option_hint(name: str, known: Collection[str], elsewhere: Mapping[str, str]) -> str:
    """A sentence: what ``elsewhere`` says of the name, else the ``known`` one that is like it."""
    hint = elsewhere.get(name)
    if hint is None:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "remove it"
    return f"{hint[0].upper()}{hint[1:]}{'' if hint.endswith('?') else '.'}"
