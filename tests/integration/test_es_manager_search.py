"""ElasticsearchManager: full text, highlights, neighbours."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import DataError, NotSupportedError
from django.db.models import Q

from poolapp.managers.elasticsearch import CosineDistance, L2Distance, MaxInnerProduct
from tests.integration.es_documents import documents_of, found, pks
from tests.stores.models import Article
from tests.stores.models_elasticsearch import Line, Picture

ARTICLES = [
    Article(slug="pools", title="Async pools", body="Pools of connections that are async", likes=1),
    Article(slug="loops", title="Event loops", body="An async loop is no pool", likes=2),
    Article(slug="html", title="<b>Async</b> & more", body="Nothing about it", likes=3),
    Article(slug="cats", title="Cats", body="They sleep", likes=4),
]


@pytest.fixture(scope="session")
def url(server_urls: dict[str, str]) -> str:
    return server_urls["elasticsearch"]


@pytest.fixture
async def articles(url: str) -> AsyncIterator[Any]:
    async with documents_of(url, Article) as documents:
        assert await documents.abulk_create(ARTICLES)
        yield documents


class TestFreeSearch:
    async def test_the_best_come_first_with_their_score(self, articles: Any) -> None:
        hits = [each async for each in articles.search("async pools", "title^3", "body")]
        assert hits[0].slug == "pools"
        scores = [each._score for each in hits]
        assert scores == sorted(scores, reverse=True)
        assert scores[-1] > 0
        assert {each.slug for each in hits} == {"pools", "loops", "html"}

    @pytest.mark.parametrize("text", ['"', "(", "a AND (", "~", "title:cats OR *", "\\", "", "++-"])
    async def test_nothing_that_is_typed_is_an_error(self, articles: Any, text: str) -> None:
        await articles.search(text).acount()

    async def test_what_is_typed_names_no_field(self, articles: Any) -> None:
        assert await pks(articles.search("likes:4")) == []
        assert await pks(articles.search("slug:cats", "body")) == []

    async def test_phrases_exclusions_and_beginnings(self, articles: Any) -> None:
        assert await pks(articles.search('"event loops"')) == ["loops"]
        assert await pks(articles.search("conn*", "body")) == ["pools"]
        assert await pks(articles.search("async -pools", "title", default_operator="and")) == [
            "html"
        ]

    async def test_it_goes_with_filters_orders_and_counts(self, articles: Any) -> None:
        search = articles.search("async")
        assert await search.acount() == 3
        assert await pks(search.filter(likes__gt=1).order_by("-likes")) == ["html", "loops"]
        assert [each._score > 0 async for each in search.order_by("likes")] == [True] * 3
        assert await pks(search.exclude(slug="html").filter(likes=2)) == ["loops"]
        assert await search.filter(pk="pools").acount() == 1
        assert await search.filter(pk="cats").aexists() is False

    async def test_two_searches_have_to_match_both(self, articles: Any) -> None:
        assert await pks(articles.search("async").search("connections")) == ["pools"]

    async def test_a_query_in_the_servers_own_words(self, articles: Any) -> None:
        query = {"bool": {"must": [{"match": {"title": "async"}}], "boost": 2.0}}
        assert sorted(await pks(articles.search(query))) == ["html", "pools"]
        with pytest.raises(TypeError, match="own words"):
            articles.search(query, "title")

    async def test_scores_can_be_ordered_by(self, articles: Any) -> None:
        best = await pks(articles.search("async pools").order_by("-_score"))
        assert await pks(articles.search("async pools").order_by("_score")) == best[::-1]

    async def test_what_cannot_be_searched_is_told(self, articles: Any, url: str) -> None:
        with pytest.raises(FieldError, match="'titel'"):
            articles.search("x", "titel")
        with pytest.raises(NotSupportedError, match=r"'likes' is no text; .* title, body"):
            articles.search("x", "likes")
        with pytest.raises(TypeError, match="text or a mapping"):
            articles.search(5)
        with pytest.raises(TypeError, match="slice"):
            articles.all()[:5].search("x")
        async with documents_of(url, Line, ensure=False) as lines:
            with pytest.raises(NotSupportedError, match=r"stores\.Line has no text to search"):
                lines.search("x")


class TestLookups:
    async def test_each_of_them(self, articles: Any) -> None:
        assert await found(articles, title__match="POOLS cats") == ["cats", "pools"]
        assert await found(articles, title__match={"query": "async pools", "operator": "and"}) == [
            "pools"
        ]
        assert await found(articles, title__match_phrase="event loops") == ["loops"]
        assert await found(articles, title__match_phrase="loops event") == []
        assert await found(articles, title__match_phrase={"query": "loops event", "slop": 2}) == [
            "loops"
        ]
        assert await found(articles, title__multi_match="async") == ["html", "pools"]
        more = {"query": "sleep", "fields": ["body^2"]}
        assert await found(articles, title__multi_match=more) == ["cats"]
        assert await found(articles, title__fuzzy="Asinc Pols") == ["pools"]
        assert await found(articles, title__query_string="cat* OR loops") == ["cats", "loops"]

    async def test_they_make_a_score_and_an_order(self, articles: Any) -> None:
        hits = [each async for each in articles.filter(body__match="async pools connections")]
        assert hits[0].slug == "pools"
        assert hits[0]._score > hits[-1]._score

    async def test_they_go_with_q(self, articles: Any) -> None:
        either = Q(title__match="cats") | Q(body__match="loop")
        assert await found(articles, either) == ["cats", "loops"]
        assert await found(articles, ~Q(body__match="async")) == ["cats", "html"]
        assert await found(articles, Q(title__match="async") & Q(likes__lt=3)) == ["pools"]

    async def test_a_query_string_that_is_wrong_is_told(self, articles: Any) -> None:
        with pytest.raises(DataError, match="Failed to parse query"):
            await found(articles, title__query_string="(")

    @pytest.mark.parametrize("value", [5, None, {"text": "x"}, ["a"]])
    async def test_a_value_that_is_no_text_is_refused(self, articles: Any, value: Any) -> None:
        with pytest.raises((TypeError, ValueError), match="title__match"):
            await found(articles, title__match=value)


class TestHighlights:
    async def test_what_was_found_is_marked_and_the_rest_is_escaped(self, articles: Any) -> None:
        (hit,) = [each async for each in articles.filter(pk="html").search("async").highlight()]
        assert hit.highlights["title"] == ["&lt;b&gt;<em>Async</em>&lt;&#x2F;b&gt; &amp; more"]

    async def test_of_some_fields_with_options(self, articles: Any) -> None:
        search = articles.search("async connections", "title", "body")
        marked = search.highlight("body", pre_tags=["["], post_tags=["]"], number_of_fragments=0)
        (hit, *_) = [each async for each in marked]
        assert hit.highlights == {"body": ["Pools of [connections] that are [async]"]}

    async def test_without_them_there_are_none(self, articles: Any) -> None:
        (hit, *_) = [each async for each in articles.search("async")]
        assert not hasattr(hit, "highlights")


@pytest.fixture
async def pictures(url: str) -> AsyncIterator[Any]:
    async with documents_of(url, Picture) as documents:
        vectors = {1: [1, 0, 0], 2: [0.9, 0.1, 0], 3: [0, 5, 0], 4: [-1, 0, 0], 5: None}
        made = [Picture(id=n, title=f"no {n % 2}", likeness=v) for n, v in vectors.items()]
        assert await documents.abulk_create(made)
        yield documents


class TestNeighbours:
    async def test_a_vector_comes_back_as_it_was(self, pictures: Any) -> None:
        assert (await pictures.aget(pk=2)).likeness == [0.9, 0.1, 0.0]
        assert (await pictures.aget(pk=5)).likeness is None
        assert await found(pictures, likeness__isnull=True) == [5]

    async def test_the_nearest_come_first(self, pictures: Any) -> None:
        hits = [each async for each in pictures.knn("likeness", [1, 0, 0], k=3)]
        assert [each.id for each in hits] == [1, 2, 3]
        assert hits[0]._score >= hits[1]._score > hits[2]._score
        assert await pictures.knn("likeness", [1, 0, 0], k=3).acount() == 3
        assert await pks(pictures.knn("likeness", [1, 0, 0], k=3)[1:9]) == [2, 3]
        assert await pks(pictures.knn("likeness", [1, 0, 0], k=3)[3:9]) == []

    async def test_among_what_the_filters_leave(self, pictures: Any) -> None:
        near = pictures.filter(id__gt=1).knn("likeness", [1, 0, 0], k=2)
        assert await pks(near) == [2, 3]
        assert await pks(near.exclude(id=2)) == [3, 4]

    @pytest.mark.parametrize(
        ("distance", "expected"),
        [
            (CosineDistance, [1, 2, 3, 4, 5]),
            (L2Distance, [1, 2, 4, 3, 5]),
            (MaxInnerProduct, [1, 2, 3, 4, 5]),
        ],
    )
    async def test_an_order_by_distance_is_exact(
        self, pictures: Any, distance: Any, expected: list[int]
    ) -> None:
        assert await pks(pictures.order_by(distance("likeness", [1, 0, 0]))) == expected
        assert len(await pks(pictures.order_by(distance("likeness", [1, 0, 0]))[:2])) == 2
        some = pictures.filter(id__in=[2, 4]).order_by(distance("likeness", [-1, 0, 0]))
        assert await pks(some) == [4, 2]

    async def test_pgvectors_own_expressions_will_do(self, pictures: Any) -> None:
        from django.db.models import F, Value

        class L2Distance:  # as pgvector.django has it
            def get_source_expressions(self) -> list[Any]:
                return [F("likeness"), Value("[0,5,0]")]

        assert (await pks(pictures.order_by(L2Distance())))[0] == 3

    async def test_what_cannot_be_is_told(self, pictures: Any) -> None:
        with pytest.raises(FieldError, match=r"'title' is no vector of .*; there are: likeness"):
            pictures.knn("title", [1, 0, 0])
        with pytest.raises(ValueError, match="has 3 dimensions, and the vector has 2"):
            pictures.order_by(CosineDistance("likeness", [1, 0]))
        for k, candidates in ((0, None), (10_001, None), (10, 5)):
            with pytest.raises(ValueError, match="10,000"):
                pictures.knn("likeness", [1, 0, 0], k, candidates=candidates)
        with pytest.raises(NotSupportedError, match="use one of them"):
            await pictures.search("no").knn("likeness", [1, 0, 0]).acount()
        with pytest.raises(NotSupportedError, match="not the farthest"):
            await pks(pictures.order_by(CosineDistance("likeness", [1, 0, 0])).reverse())
        with pytest.raises(NotSupportedError, match="nothing else besides"):
            await pks(pictures.order_by(CosineDistance("likeness", [1, 0, 0]), "id"))
        result = await pictures.abulk_create([Picture(id=9, likeness=[1, 2])])
        assert "different number of dimensions" in str(result.failed[0].error)
