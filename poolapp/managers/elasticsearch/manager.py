"""What a model declares, and what its queries have beside those of all documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

from django.db import NotSupportedError
from django.db.models import Model

from poolapp.managers.documents.manager import DocumentManager
from poolapp.managers.documents.queryset import DocumentQuerySet
from poolapp.managers.documents.store import Store
from poolapp.managers.elasticsearch import fulltext
from poolapp.managers.elasticsearch.columns import LongText
from poolapp.managers.elasticsearch.requests import MOST_NEIGHBOURS
from poolapp.managers.elasticsearch.store import ElasticsearchStore, IndexOptions
from poolapp.managers.elasticsearch.writing import Refresh

M = TypeVar("M", bound=Model)


class ElasticsearchQuerySet(DocumentQuerySet[M]):
    """Adds full text, neighbours, highlights and refreshes."""

    def search(self, query: str | Mapping[str, Any], *fields: str, **options: Any) -> Self:
        """Those that match the text, the best first; ``_score`` is on each.

        Text is what a visitor types: words, ``"phrases"``, ``-without``, ``begin*``; none of it is
        an error. ``fields`` are names, weighted as in ``"title^3"``; without any, all text of the
        model. ``options`` are those of Elasticsearch's ``simple_query_string``
        (``default_operator="and"``). A mapping is a query in Elasticsearch's own words, passed on
        untouched: never make one of what a visitor types.

        Raises FieldError for a name that is no field's.
        """
        if isinstance(query, Mapping):
            if fields or options:
                raise TypeError("a query in Elasticsearch's own words has its fields and options")
            made = dict(query)
        elif isinstance(query, str):
            made = fulltext.free(query, self._text_keys(fields), options)
        else:
            raise TypeError(f"search() takes text or a mapping, not {type(query).__name__!r}")
        if self._low or self._high is not None:
            raise TypeError("Cannot filter a query once a slice has been taken.")
        return self._with_extras(search=(*self._extras.get("search", ()), made))

    def highlight(self, *fields: str, **options: Any) -> Self:
        """Have ``highlights`` on each: field -> fragments in which what was found is between
        ``<em>`` and ``</em>``. All else in them is escaped, so that they may be shown as HTML.

        ``options`` are Elasticsearch's (``pre_tags``, ``fragment_size``, ``number_of_fragments``).
        """
        keys = self._text_keys(fields)
        return self._with_extras(
            highlight={
                "encoder": "html",
                "require_field_match": bool(fields),
                **options,
                "fields": {key: {} for key in keys},
            }
        )

    def knn(
        self,
        field: str,
        vector: Sequence[float],
        k: int = 10,
        *,
        candidates: int | None = None,
        **options: Any,
    ) -> Self:
        """The ``k`` nearest to a vector among what the filters leave, the nearest first, by the
        field's ``similarity``; ``_score`` is on each.

        It is approximate: ``candidates`` (10 times k, 10,000 at the most) are looked at on each
        shard, and the more there are the surer is the result. ``options`` are Elasticsearch's
        (``similarity``, ``rescore_vector``).
        """
        if not 1 <= k <= MOST_NEIGHBOURS:
            raise ValueError(f"k is from 1 to {MOST_NEIGHBOURS:,}, not {k!r}")
        assert isinstance(self._store, ElasticsearchStore)
        column = self._store.vector(field, vector)
        number = min(max(10 * k, 100), MOST_NEIGHBOURS) if candidates is None else candidates
        if not k <= number <= MOST_NEIGHBOURS:
            raise ValueError(f"candidates are from k to {MOST_NEIGHBOURS:,}, not {number!r}")
        return self._with_extras(
            knn={
                **options,
                "field": column.key,
                "query_vector": [float(each) for each in vector],
                "k": k,
                "num_candidates": number,
            }
        )

    def refresh(self, when: Refresh = "wait_for") -> Self:
        """What is written by this one is visible to searches when the call returns: ``"wait_for"``
        waits for the index's next refresh (a second, by default), True has it refreshed at once,
        which is dear, False does neither."""
        return self._with_extras(refresh=checked_refresh(when))

    def _text_keys(self, fields: tuple[str, ...]) -> list[str]:
        assert isinstance(self._store, ElasticsearchStore)
        texts = self._store.layout.texts
        if not fields:
            if not texts:
                raise NotSupportedError(f"{self.model._meta.label} has no text to search")
            return texts
        keys = []
        for each in fields:
            name, caret, weight = each.partition("^")
            key = self._store.schema.key(self._lookups.field(name))
            if key not in texts:
                raise NotSupportedError(
                    f"{name!r} is no text; full text is looked for in {', '.join(texts)}"
                )
            if caret:
                float(weight)
            keys.append(f"{key}{caret}{weight}")
        return keys


class ElasticsearchManager(DocumentManager[M, ElasticsearchQuerySet[M]]):
    """Instances as documents of an index::

        search = ElasticsearchManager(pool="search", index="articles")

    ``index`` is the name of an index or alias; ``app_model`` unless given. ``refresh`` is that of
    every write (see ``ElasticsearchQuerySet.refresh``): off, so that a write is visible to
    searches about a second later, and at once to reads by primary key. ``long_text`` says how the
    exact value of text without a limit is indexed: ``"wildcard"`` takes any length, ``"keyword"``
    is faster and takes 32,766 bytes. ``mapping`` adds to what follows from the fields
    (``{"body": {"analyzer": "english"}}``), ``settings`` are those of a new index; ``manage.py
    poolensure`` makes it.
    """

    queryset_class: ClassVar[type[DocumentQuerySet[Any]]] = ElasticsearchQuerySet
    server = "Elasticsearch"
    needs: ClassVar[tuple[str, ...]] = ("ask",)

    def __init__(
        self,
        pool: str,
        index: str | None = None,
        *,
        refresh: Refresh = False,
        long_text: LongText = "wildcard",
        mapping: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(pool)
        if long_text not in ("wildcard", "keyword"):
            raise ValueError(f"long_text is 'wildcard' or 'keyword', not {long_text!r}")
        self._index = index
        self._options = IndexOptions(
            refresh=checked_refresh(refresh),
            long_text=long_text,
            mapping=mapping or {},
            settings=settings or {},
        )

    def make_store(self, alias: str) -> Store:
        return ElasticsearchStore(self.model, alias, self._index or self.label(), self._options)


def checked_refresh(refresh: Refresh) -> Refresh:
    if refresh not in (True, False, "wait_for"):
        raise ValueError(f"refresh is True, False or 'wait_for', not {refresh!r}")
    return refresh
