"""A selection as the body of a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.db import NotSupportedError

from poolapp.managers.documents.conditions import Where
from poolapp.managers.documents.selection import Order, Selection
from poolapp.managers.elasticsearch.layout import Layout, is_scored
from poolapp.managers.elasticsearch.queries import EVERYTHING, Query, scored
from poolapp.managers.elasticsearch.vectors import Distance, nearest

WINDOW: Final = 10_000
"""Documents that a search can be asked for without a point in time: ``index.max_result_window``."""

MOST_NEIGHBOURS: Final = 10_000
"""The server's limit of ``num_candidates``."""

SCORE: Final = "_score"
RANDOM: Final = "?"


@dataclass(frozen=True, slots=True)
class Random:
    """The order of ``"?"``, the same from page to page."""

    seed: int


class Requests:
    """What one index is asked."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def check(self, selection: Selection) -> None:
        """Raise NotSupportedError for what can't be found, or not in this order."""
        self._layout.check(selection.condition)
        specials = [each.special for each in selection.order if each.special is not None]
        for order in selection.order:
            self._check_order(order)
        if any(each != SCORE for each in specials) and len(selection.order) > 1:
            raise NotSupportedError(
                "Elasticsearch orders by a distance, or at random, by nothing else besides"
            )
        if "knn" not in selection.extras:
            return
        if selection.extras.get("search") or is_scored(selection.condition):
            raise NotSupportedError(
                "Elasticsearch's knn() makes the score, and so does full text: use one of them, "
                "and filter by what has no score"
            )
        if not selection.default_order and any(each != SCORE for each in specials):
            raise NotSupportedError(
                "Elasticsearch's knn() has an order of its own: the nearest first"
            )

    def _check_order(self, order: Order) -> None:
        if isinstance(order.special, Distance) and order.descending:
            raise NotSupportedError("Elasticsearch finds the nearest first, not the farthest")
        if order.field is None:
            return
        if order.path or self._layout[order.field].sorts_by is None:
            raise NotSupportedError(
                f"Elasticsearch has no order for {order.field.name!r}"
                + (", nor for what is within it" if order.path else "")
            )

    # -- which ---------------------------------------------------------------------------------

    def ids(self, selection: Selection) -> list[str] | None:
        """The ids, where nothing but primary keys decides: those are read without a search, and so
        as they are now, not as they were at the last refresh."""
        where = selection.condition
        if not isinstance(where, Where) or where.field is not self._layout.schema.pk:
            return None
        if {"search", "knn", "highlight"} & set(selection.extras):
            return None
        match where.lookup:
            case "exact":
                return [id_of(where.value)]
            case "in" if not selection.order:
                return [id_of(each) for each in where.value]
        return None

    def query(self, selection: Selection) -> Query:
        plain = self._layout.query(selection.condition)
        searched = selection.extras.get("search", ())
        if not searched:
            return plain
        if is_scored(selection.condition):
            return scored([*searched, plain], [])
        return scored(searched, [] if plain == EVERYTHING else [plain])

    def matching(self, selection: Selection) -> dict[str, Any]:
        """The part of a body that says which: ``query``, or ``knn``."""
        query = self.query(selection)
        knn = selection.extras.get("knn")
        if knn is None:
            return {"query": query}
        return {"knn": {**knn, **({} if query == EVERYTHING else {"filter": query})}}

    # -- how -----------------------------------------------------------------------------------

    def body(self, selection: Selection) -> dict[str, Any]:
        """All but how many."""
        body: dict[str, Any] = {
            **self.matching(selection),
            "_source": self._layout.selecting(selection.only),
            "seq_no_primary_term": True,
            "track_total_hits": False,
        }
        special = next((each.special for each in selection.order if each.special is not None), None)
        if isinstance(special, Distance):
            key = self._layout.schema.key(self.vector_field(special))
            body["query"] = nearest(body["query"], special, key)
        elif isinstance(special, Random):
            body["query"] = {
                "function_score": {
                    "query": body["query"],
                    "random_score": {"seed": special.seed, "field": "_seq_no"},
                    "boost_mode": "replace",
                }
            }
        elif selection.order and not self._by_score(selection):
            body["sort"] = [self._sort(each) for each in selection.order]
            if not any(each.field and each.field.primary_key for each in selection.order):
                # What is equal keeps its place from one slice to the next.
                body["sort"].append({self._layout[self._layout.schema.pk].sorts_by: "asc"})
            if self.has_score(selection):
                body["track_scores"] = True
        if highlight := selection.extras.get("highlight"):
            body["highlight"] = highlight
        return body

    def vector_field(self, distance: Distance) -> Any:
        for field in self._layout.schema.fields:
            if field.name == distance.field:
                return field
        raise AssertionError(distance)

    def has_score(self, selection: Selection) -> bool:
        """Whether some hits are better than others."""
        return (
            bool({"search", "knn"} & set(selection.extras))
            or is_scored(selection.condition)
            or any(each.special is not None for each in selection.order)
        )

    def _by_score(self, selection: Selection) -> bool:
        """Whether the best come first: by default they do, where there is a score."""
        return selection.default_order and self.has_score(selection)

    def _sort(self, order: Order) -> dict[str, Any]:
        """What has no value comes last, whichever way."""
        direction = "desc" if order.descending else "asc"
        if order.field is None:
            return {SCORE: {"order": direction}}
        path = self._layout[order.field].sorts_by
        assert path is not None
        return {path: {"order": direction, "missing": "_last"}}


def id_of(pk: Any) -> str:
    """The ``_id`` of a primary key in document form."""
    return pk if isinstance(pk, str) else str(pk)
