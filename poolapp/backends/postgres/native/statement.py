"""From Django's statements, with ``%s``, to the server's, with ``$1``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from poolapp.backends.postgres.native.binding import NULL, placeholder

_PERCENT = re.compile(r"%(.)")


@lru_cache(maxsize=4096)
def translated(sql: str, kinds: tuple[str, ...]) -> str:
    """The statement for parameters of these kinds. Those that are NULL are written into it.

    Raises ValueError when there are more or fewer of them than ``%s``.
    """
    numbers = _numbers(kinds)

    def replacement(match: re.Match[str]) -> str:
        if match[1] == "%":
            return "%"
        if match[1] != "s":
            raise ValueError(f"unsupported placeholder {match[0]!r} in a statement")
        try:
            number, kind = next(numbers)
        except StopIteration:
            raise ValueError(
                f"the statement has more placeholders than {len(kinds)} parameters"
            ) from None
        return "NULL" if kind == NULL else placeholder(number, kind)

    text = _PERCENT.sub(replacement, sql)
    if next(numbers, None) is not None:
        raise ValueError(f"the statement has fewer placeholders than {len(kinds)} parameters")
    return text


def _numbers(kinds: Sequence[str]) -> Iterator[tuple[int, str]]:
    number = 0
    for kind in kinds:
        number += kind != NULL
        yield number, kind
