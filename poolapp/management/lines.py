"""What a command prints, before it is known how."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    text: str
    style: str = ""
    """``head``, ``degraded`` or ``unhealthy``; any other is plain."""


def table(rows: Sequence[tuple[Sequence[str], str]], right: Collection[int]) -> Iterator[Line]:
    """Cells and the style of each row, aligned in columns; those in ``right`` to the right."""
    widths = [max(map(len, column)) for column in zip(*(cells for cells, _ in rows), strict=True)]
    for cells, style in rows:
        padded = [
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        yield Line("  ".join(padded).rstrip(), style)
