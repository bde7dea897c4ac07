"""``filter``'s arguments as a condition, in the words of no store."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.core.exceptions import FieldError, ValidationError
from django.db import NotSupportedError
from django.db.models import F, Q
from django.test import override_settings
from django.utils import timezone

from poolapp.managers.documents.conditions import ALL, NONE, Every, Not, Some, Where
from tests.stores.gated import GatedManager
from tests.stores.models import Article, Author, Everything, bind


@pytest.fixture
async def articles() -> Any:
    return bind(GatedManager("x"), Article)


def where(lookup: str, value: Any, name: str = "likes", path: Any = ()) -> Where:
    field: Any = Article._meta.get_field(name)
    return Where(field, path, lookup, value)


def condition(articles: Any, *parts: Q, **lookups: Any) -> Any:
    return articles.filter(*parts, **lookups).selection().condition


async def test_look_ups_are_prepared_by_the_field(articles: Any) -> None:
    assert condition(articles, likes="5") == where("exact", 5)
    assert condition(articles, likes__in=["1", 1, None, 2]) == where("in", (1, 2))
    assert condition(articles, likes__range=("1", 2)) == where("range", (1, 2))
    assert condition(articles, price="1.50") == where("exact", "1.5", "price")
    token = UUID(int=5)
    assert condition(articles, token=token.hex) == where("exact", str(token), "token")
    assert condition(articles, title=5) == where("exact", "5", "title")
    assert condition(articles, title__contains=5) == where("contains", "5", "title")


async def test_the_primary_key_and_relations_have_two_names(articles: Any) -> None:
    assert condition(articles, pk="a") == condition(articles, slug="a")
    assert condition(articles, author=1) == condition(articles, author_id=1)
    assert condition(articles, author=Author(id=1)) == where("exact", 1, "author")
    assert condition(articles, author__in=[Author(id=1), 2]) == where("in", (1, 2), "author")
    with pytest.raises(ValueError, match="'id' yet"):
        articles.filter(author=Author())
    with pytest.raises(TypeError, match="not a model instance"):
        articles.filter(likes=Author(id=1))


async def test_none_is_null(articles: Any) -> None:
    assert condition(articles, price=None) == where("isnull", True, "price")
    assert condition(articles, title__iexact=None) == where("isnull", True, "title")
    with pytest.raises(ValueError, match="price__isnull=True"):
        articles.filter(price__gt=None)
    with pytest.raises(ValueError, match="True or False"):
        articles.filter(price__isnull="yes")


async def test_conditions_are_joined_and_simplified(articles: Any) -> None:
    one, two = where("exact", 1), where("exact", 2)
    assert condition(articles, Q(likes=1) & Q(likes=2)) == Every((one, two))
    assert condition(articles, Q(likes=1) | Q(likes=2) | Q(likes=1)) == Some((one, two, one))
    assert condition(articles, ~Q(likes=1)) == Not(one)
    assert condition(articles, ~~Q(likes=1)) == one
    assert condition(articles, Q(likes=1) ^ Q(likes=2)) == Some(
        (Every((one, Not(two))), Every((Not(one), two)))
    )
    assert articles.filter(likes=1).filter(likes=2).selection().condition == Every((one, two))
    assert articles.filter(likes=1).exclude(likes=2).selection().condition == Every((one, Not(two)))


async def test_what_is_empty_asks_for_nothing(articles: Any) -> None:
    assert condition(articles) == ALL
    assert condition(articles, Q()) == ALL
    assert condition(articles, ~Q()) == ALL
    assert articles.exclude().selection().condition == ALL
    assert condition(articles, Q() | Q(likes=1)) == where("exact", 1)
    assert condition(articles, pk__in=[]) == NONE
    assert condition(articles, Q(pk__in=[]) | Q(likes=1)) == where("exact", 1)
    assert condition(articles, pk__in=[], likes=1) == NONE
    assert articles.exclude(pk__in=[]).selection().condition == ALL


async def test_what_can_not_be_found_is_not_asked_for(articles: Any) -> None:
    store = articles.store()
    store.gate.clear()  # a request would wait for ever
    for empty in (articles.none(), articles.filter(pk__in=[]), articles.all()[3:3]):
        assert [each async for each in empty] == []
        assert await empty.acount() == 0
        assert not await empty.aexists()
    assert await articles.none().afirst() is None
    assert await articles.filter(pk__in=[]).adelete() == (0, {})
    assert await articles.filter(pk__in=[]).aupdate(likes=1) == 0


async def test_parts_of_dates_are_ranges_in_the_current_time_zone(articles: Any) -> None:
    def days(*bounds: str) -> Any:
        first, after = (datetime.fromisoformat(each).astimezone(UTC) for each in bounds)
        iso = "%Y-%m-%dT%H:%M:%S.%fZ"
        return Every(
            (
                where("gte", first.strftime(iso), "published"),
                where("lt", after.strftime(iso), "published"),
            )
        )

    with timezone.override("Europe/Zurich"):
        year = days("2024-01-01T00:00+01:00", "2025-01-01T00:00+01:00")
        summer = days("2024-07-01T00:00+02:00", "2024-07-02T00:00+02:00")
        assert condition(articles, published__year=2024) == year
        assert condition(articles, published__year="2024") == year
        assert condition(articles, published__date=date(2024, 7, 1)) == summer
        assert condition(articles, published__date="2024-07-01") == summer
        assert condition(articles, published__year__gte=2024) == year.parts[0]
        assert condition(articles, published__year__lt=2025) == year.parts[1]
        assert condition(articles, published__year__in=[2024]) == year
        assert condition(articles, published__year__gt=9999) == NONE
    assert condition(articles, day__year=2024) == Every(
        (where("gte", "2024-01-01", "day"), where("lt", "2025-01-01", "day"))
    )
    with pytest.raises(NotSupportedError, match="published__year"):
        articles.filter(published__month=1)
    with pytest.raises(NotSupportedError, match="takes exact"):
        articles.filter(published__year__contains=1)


async def test_ways_into_a_json_field(articles: Any) -> None:
    assert condition(articles, data__a__0__gt=3) == where("gt", 3, "data", ("a", 0))
    assert condition(articles, data__a=None) == where("isnull", True, "data", ("a",))
    assert condition(articles, data__a__icontains="x") == where("icontains", "x", "data", ("a",))
    assert condition(articles, data={"a": 1}) == where("exact", {"a": 1}, "data")
    assert condition(articles, data__contains={"a": 1}) == where("json_contains", {"a": 1}, "data")
    assert condition(articles, data__has_key="a") == where("has_key", "a", "data")
    hostile = "$where'; DROP"
    assert condition(articles, **{f"data__{hostile}": 1}) == where("exact", 1, "data", (hostile,))


async def test_arrays_are_looked_into() -> None:
    everything = bind(GatedManager("x"), Everything)
    found = everything.filter(numbers__contains=["1"]).selection().condition
    assert (found.lookup, found.value) == ("array_contains", [1])
    found = everything.filter(numbers__overlap=[1, 2]).selection().condition
    assert (found.lookup, found.value) == ("array_overlap", [1, 2])


async def test_a_store_s_own_look_ups_get_what_the_caller_gave(articles: Any) -> None:
    options = {"query": "x", "boost": 2}
    assert condition(articles, title__match=options) == where("match", options, "title")


async def test_whole_numbers_are_compared_as_django_rounds(articles: Any) -> None:
    assert condition(articles, likes__gte=1.5) == where("gte", 2)
    assert condition(articles, likes__lt=Decimal("1.5")) == where("lt", 2)
    assert condition(articles, likes__gt=1.5) == where("gt", 1)
    assert condition(articles, likes__lte=1.5) == where("lte", 1)


async def test_names_that_are_no_field_s_are_told_with_the_choices(articles: Any) -> None:
    for name in ("nope", "nope__exact", "$where", "title\0", "__class__", "pk__nope"):
        with pytest.raises(FieldError):
            articles.filter(**{name: 1})
    with pytest.raises(FieldError, match="Choices are: author, body, data"):
        articles.filter(nope=1)
    with pytest.raises(FieldError, match="Unsupported lookup 'nope' for IntegerField 'likes'"):
        articles.filter(likes__nope=1)
    with pytest.raises(FieldError, match="Choices are"):
        articles.order_by("nope")
    with pytest.raises(FieldError, match="no relation and no JSONField"):
        articles.order_by("title__nope")


async def test_what_no_store_can_is_refused_with_what_it_can(articles: Any) -> None:
    with pytest.raises(NotSupportedError, match=r"author__in=\[primary keys\]"):
        articles.filter(author__name="x")
    with pytest.raises(NotSupportedError, match="not with an expression"):
        articles.filter(likes=F("rating"))
    with pytest.raises(NotSupportedError, match="give the values themselves"):
        articles.filter(pk__in=Article.objects.all())
    with pytest.raises(NotSupportedError, match="compares with values"):
        articles.filter(likes__in=[F("rating")])
    with pytest.raises(NotSupportedError, match="Q objects"):
        articles.filter(F("likes"))
    with pytest.raises(NotSupportedError, match="'contains' is for text"):
        articles.filter(likes__contains=1)
    with pytest.raises(NotSupportedError, match="only the model's own columns"):
        bind(GatedManager("x"), Author).filter(article=1)
    with pytest.raises(NotSupportedError, match="orders by fields"):
        articles.order_by(F("likes"))
    with pytest.raises(NotSupportedError, match="random"):
        articles.order_by("?")


async def test_values_that_a_field_can_not_have_raise_as_in_django(articles: Any) -> None:
    with pytest.raises(ValueError, match="expected a number"):
        articles.filter(likes="many")
    with pytest.raises(ValidationError):
        articles.filter(published="yesterday")
    with pytest.raises(ValidationError):
        articles.filter(token="x")
    for wrong in ("abc", 5, {"a": 1}):
        with pytest.raises(TypeError, match="takes a list of values"):
            articles.filter(title__in=wrong)
    with pytest.raises(ValueError, match="takes two values"):
        articles.filter(likes__range=[1])


@override_settings(USE_TZ=False)
async def test_without_time_zones_moments_are_naive(articles: Any) -> None:
    moment = datetime(2024, 1, 1, 12, 0, 0, 5)
    assert condition(articles, published=moment) == where(
        "exact", "2024-01-01T12:00:00.000005", "published"
    )
