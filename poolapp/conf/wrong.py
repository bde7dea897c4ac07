"""How a value that breaks its rule is told, without quoting what may be a secret."""

from __future__ import annotations

import difflib
from collections.abc import Collection


class Wrong(Exception):
    """A value breaks its rule: what it must be, which part of it, and a hint.

    The message never quotes a text that may be a secret.
    """

    def __init__(
        self, message: str, hint: str = "", *, inside: str = "", unknown: bool = False
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.inside = inside
        """As in ``"['FAILURES']"``, when it is a part of the value only."""
        self.unknown = unknown
        """Whether it is a key that does not exist."""


def shown(value: object) -> str:
    """A wrong value in words. A text is quoted only when it is as short as a number."""
    if value is None or isinstance(value, bool | int | float):
        text = repr(value)
        return text if len(text) <= 24 else f"a number of {len(text)} digits"
    if isinstance(value, str):
        return f"the text {value!r}" if len(value) <= 12 else "a text"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def nearest(name: str, known: Collection[str]) -> str:
    """``"Did you mean 'MAX_SIZE'?"``, or the list of what there is."""
    found = difflib.get_close_matches(name.upper(), [each.upper() for each in known], 1, 0.6)
    for each in known:
        if found and each.upper() == found[0]:
            return f"Did you mean {each!r}?"
    return f"The keys are {', '.join(sorted(known))}."
