"""Figures over many documents, and over groups of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final, NoReturn

from django.db import NotSupportedError

from poolapp.managers.documents.selection import Aggregate, Grouping, Selection
from poolapp.managers.elasticsearch.asking import Index
from poolapp.managers.elasticsearch.columns import Column
from poolapp.managers.elasticsearch.columns.numbers import FloatColumn
from poolapp.managers.elasticsearch.layout import Layout
from poolapp.managers.elasticsearch.queries import EVERYTHING
from poolapp.managers.elasticsearch.requests import Requests

GROUPS_AT_ONCE: Final = 1000

PRECISION: Final = 40_000
"""Distinct values up to which counting them is near exact: the greatest ``precision_threshold``."""

_SPECIAL: Final = "special"


class Figures:
    """Computes over one index."""

    def __init__(self, index: Index, layout: Layout) -> None:
        self._index = index
        self._layout = layout
        self._requests = Requests(layout)

    async def aggregate(
        self, selection: Selection, aggregates: Mapping[str, Aggregate]
    ) -> dict[str, Any]:
        if selection.is_sliced:
            raise NotSupportedError(
                "Elasticsearch aggregates all that is selected, not a slice of it; use filter()"
            )
        body = {
            **self._requests.matching(selection),
            "size": 0,
            "track_total_hits": True,
            "aggs": self._asked(aggregates),
        }
        found = await self._index.search(body)
        total = found["hits"]["total"]["value"]
        return self._told(aggregates, found.get("aggregations", {}), total)

    async def groups(
        self, selection: Selection, grouping: Grouping
    ) -> AsyncGenerator[dict[str, Any], None]:
        """In pages of a composite aggregation, however many groups there are."""
        by = {self._layout.schema.key(each): self._layout[each] for each in grouping.by}
        sources = self._sources(by, grouping)
        asked = self._asked(grouping.aggregates)
        skip = grouping.low
        left = None if grouping.high is None else grouping.high - grouping.low
        after: dict[str, Any] = {}
        while left is None or left > 0:
            wanted = GROUPS_AT_ONCE if left is None else min(skip + left, GROUPS_AT_ONCE)
            composite = {"size": wanted, "sources": sources, **after}
            groups = {"composite": composite, **({"aggs": asked} if asked else {})}
            body = {
                **self._requests.matching(selection),
                "size": 0,
                "track_total_hits": False,
                "aggs": {"groups": groups},
            }
            found = (await self._index.search(body))["aggregations"]["groups"]
            for bucket in found["buckets"]:
                if skip:
                    skip -= 1
                    continue
                if left is not None:
                    if left == 0:
                        return
                    left -= 1
                row = {key: column.group_value(bucket["key"]) for key, column in by.items()}
                yield row | self._told(grouping.aggregates, bucket, bucket["doc_count"])
            if len(found["buckets"]) < wanted:
                return
            after = {"after": found["after_key"]}

    def _sources(self, by: Mapping[str, Column], grouping: Grouping) -> list[dict[str, Any]]:
        """The groups come in the order of their sources, those that are ordered by first."""
        ways = dict(grouping.order)
        for name in ways:
            if name not in by:
                raise NotSupportedError(
                    "Elasticsearch orders groups by what they are grouped by, not by a figure: "
                    f"{name!r}"
                )
        sources = []
        for key in [*ways, *(each for each in by if each not in ways)]:
            paths = by[key].group_by()
            if paths is None:
                raise NotSupportedError(
                    f"Elasticsearch can't group by {by[key].field.name!r}, which is indexed as "
                    f"{by[key].mapping()['type']!r}"
                )
            order = {
                "order": "desc" if ways.get(key) else "asc",
                "missing_bucket": True,
                "missing_order": "first" if ways.get(key) else "last",
            }
            sources += [{name: {"terms": {"field": path, **order}}} for name, path in paths.items()]
        return sources

    # -- what is asked -------------------------------------------------------------------------

    def _asked(self, aggregates: Mapping[str, Aggregate]) -> dict[str, Any]:
        asked = {}
        for name, each in aggregates.items():
            if each.condition is not None:
                self._layout.check(each.condition)
            inside = self._figures(each)
            if each.condition is not None or inside:
                query = EVERYTHING if each.condition is None else self._layout.query(each.condition)
                asked[name] = {"filter": query, **({"aggs": inside} if inside else {})}
        return asked

    def _figures(self, aggregate: Aggregate) -> dict[str, Any]:
        """Nothing where the number of documents is the answer."""
        if aggregate.field is None:
            return {}
        column = self._layout[aggregate.field]
        if aggregate.function == "count":
            if not aggregate.distinct:
                return {"figure": {"filter": column.present()}}
            paths = column.group_by()
            if paths is None:
                self._cannot(aggregate, column)
            return {
                name: {"cardinality": {"field": path, "precision_threshold": PRECISION}}
                for name, path in paths.items()
            }
        if aggregate.distinct and aggregate.function in ("sum", "avg"):
            raise NotSupportedError(
                f"Elasticsearch has no {aggregate.function} of distinct values; it counts them"
            )
        if aggregate.function in ("sum", "avg") or column.exact_extremes:
            if column.number is None:
                self._cannot(aggregate, column)
            figures = {"figure": {"stats": {"field": column.number}}}
            if isinstance(column, FloatColumn):
                figures[_SPECIAL] = {"stats": {"field": column.rank}}
            return figures
        path = column.sorts_by
        if path is None:
            self._cannot(aggregate, column)
        # The server's own are 64-bit floats; the value itself is in the first document.
        order = {"order": "asc" if aggregate.function == "min" else "desc", "missing": "_last"}
        first = {"size": 1, "sort": [{path: order}], "_source": [column.key]}
        return {"figure": {"top_hits": first}}

    def _cannot(self, aggregate: Aggregate, column: Column) -> NoReturn:
        raise NotSupportedError(
            f"Elasticsearch has no {aggregate.function} of {column.field.name!r}, which is indexed "
            f"as {column.mapping()['type']!r}"
        )

    # -- what was answered ---------------------------------------------------------------------

    def _told(
        self, aggregates: Mapping[str, Aggregate], found: Mapping[str, Any], total: int
    ) -> dict[str, Any]:
        told = {}
        for name, each in aggregates.items():
            if name not in found:
                told[name] = total
            elif each.field is None:
                told[name] = found[name]["doc_count"]
            else:
                told[name] = self._value(each, found[name])
        return told

    def _value(self, aggregate: Aggregate, found: Mapping[str, Any]) -> Any:
        assert aggregate.field is not None
        column = self._layout[aggregate.field]
        if aggregate.function == "count":
            if not aggregate.distinct:
                return found["figure"]["doc_count"]
            return sum(found[name]["value"] for name in column.group_by() or ())
        figure = found["figure"]
        if "hits" in figure:
            hits = figure["hits"]["hits"]
            return hits[0]["_source"].get(column.key) if hits else None
        if isinstance(column, FloatColumn) and found[_SPECIAL]["count"]:
            return _with_specials(column, aggregate.function, figure, found[_SPECIAL])
        if not figure["count"]:
            return None
        if aggregate.function == "avg":
            return column.mean(figure["sum"], figure["count"])
        return column.total(figure[aggregate.function])


def _with_specials(column: FloatColumn, function: str, figure: Any, ranks: Any) -> Any:
    """The figure of floats some of which are not finite."""
    least, most = ranks["min"], ranks["max"]
    if function == "min":
        return figure["min"] if least > 0 and figure["count"] else column.name_of(least)
    if function == "max":
        return figure["max"] if most < 0 and figure["count"] else column.name_of(most)
    return "NaN" if most == 2 or least != most else column.name_of(most)
