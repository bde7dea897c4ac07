"""Dates and moments, to the microsecond and of every year that Python has."""

from __future__ import annotations

from typing import Any

from poolapp.managers.elasticsearch.columns.base import Column
from poolapp.managers.elasticsearch.queries import Query, all_of, any_of, ranging


class DateColumn(Column):
    """A ``date`` for whoever else reads the index; ``key.exact`` is the same as text, which is
    ordered alike."""

    type = "date"

    def mapping(self) -> dict[str, Any]:
        return {"type": "date", "format": "strict_date", "fields": {"exact": {"type": "keyword"}}}

    @property
    def exactly(self) -> str:
        return f"{self.key}.exact"

    def compared(self, comparison: str, value: Any) -> Query:
        return ranging(self.key, comparison, value)


class MomentColumn(Column):
    """A ``date`` counts milliseconds, and a ``date_nanos`` begins in 1970 and ends in 2262. So the
    microseconds are in ``key.exact``, which is text of a fixed length and ordered as time is; the
    ``date`` finds ranges fast, and leaves the milliseconds at their ends to the text."""

    type = "date"

    def mapping(self) -> dict[str, Any]:
        return {
            "type": "date",
            "format": "strict_date_optional_time",
            "fields": {"exact": {"type": "keyword"}},
        }

    @property
    def exactly(self) -> str:
        return f"{self.key}.exact"

    def compared(self, comparison: str, value: Any) -> Query:
        zone = "Z" if value.endswith("Z") else ""
        whole = value.removesuffix("Z")
        milliseconds, rest = whole[:-3], whole[-3:]
        edge = f"{milliseconds}{zone}"
        if rest == "000" and comparison in ("gte", "lt"):
            return ranging(self.key, comparison, edge)
        outside = ranging(self.key, comparison[:2], edge)
        at_the_edge = all_of(
            [
                {"range": {self.key: {"gte": edge, "lte": edge}}},
                ranging(self.exactly, comparison, value),
            ]
        )
        return any_of([outside, at_the_edge])
