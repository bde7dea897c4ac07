"""Each ability is a proof: it runs against every store, and has to succeed, or, where the store
says that it cannot, to be refused with NotSupportedError."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.core.exceptions import FieldError
from django.db import IntegrityError
from django.db.models import Avg, Count, Max, Min, Q, Sum

from poolapp.managers import Conflict, Missing
from tests.stores.models import Article


@dataclass(frozen=True)
class Ability:
    group: str
    name: str
    prove: Callable[[Any], Awaitable[None]]
    reads_only: bool
    """Of the articles of LIBRARY."""


ABILITIES: list[Ability] = []

Proof = Callable[[Any], Awaitable[None]]


def ability(group: str, name: str, *, reads_only: bool = False) -> Callable[[Proof], Proof]:
    def register(prove: Proof) -> Proof:
        assert all(each.name != name for each in ABILITIES), name
        ABILITIES.append(Ability(group, name, prove, reads_only))
        return prove

    return register


def look_up(name: str) -> Callable[[Proof], Proof]:
    return ability("Look-ups", name, reads_only=True)


def article(slug: str, **fields: Any) -> Article:
    return Article(slug=slug, **{"title": f"The title of {slug}", **fields})


def _token(number: int) -> UUID:
    return UUID(int=number)


def library() -> list[Article]:
    """a ... f, in the order of the primary key; f has null wherever that can be."""
    return [
        article("a", title="Alpha Beta", likes=3, rating=1.5, price=Decimal("10.50"),
                published=datetime(2023, 12, 31, 23, 59, 59, 999_999, UTC), day=date(2023, 12, 31),
                is_public=True, token=_token(1), author_id=1, body="One two three",
                data={"size": 1, "tags": ["x", "y"], "deep": {"name": "Ann"}}),
        article("b", title="alpha beta", likes=-5, rating=-2.25, price=Decimal("9.99"),
                published=datetime(2024, 1, 1, 6, 0, 0, 0, UTC), day=date(2024, 1, 1),
                is_public=False, token=_token(2), author_id=1, body="two",
                data={"size": 2, "tags": ["y"], "deep": {"name": "Bob"}}),
        article("c", title="Gamma", likes=10, rating=0.0, price=Decimal(100),
                published=datetime(2024, 1, 1, 6, 0, 0, 1, UTC), day=date(2024, 2, 29),
                is_public=True, token=_token(3), author_id=2, body="three",
                data={"size": 10, "deep": {"name": "ann"}}),
        article("d", title="gam_m%a*", likes=9, rating=1e10, price=Decimal(-1),
                published=datetime(2024, 6, 1, 12, 0, tzinfo=UTC), day=date(2024, 6, 1),
                is_public=True, token=_token(4), author_id=3, body="four", data={"size": None}),
        article("e", title="Straße", likes=2**31 - 1, rating=1e-10, price=Decimal("0.01"),
                published=datetime(2025, 1, 1, 6, 0, tzinfo=UTC), day=date(2025, 1, 1),
                is_public=False, token=_token(5), author_id=2, body="five", data={}),
        article("f", title="", likes=0, body="", data={}),
    ]  # fmt: skip


async def slugs(query: Any) -> list[str]:
    return [each async for each in query.values_list("slug", flat=True)]


async def found(manager: Any, *conditions: Q, **lookups: Any) -> str:
    """The slugs in their order, as one word."""
    return "".join(sorted(await slugs(manager.filter(*conditions, **lookups))))


# -- one at a time -------------------------------------------------------------------------------


@ability("Documents", "acreate, aget by primary key")
async def _(documents: Any) -> None:
    made = await documents.acreate(slug="a", title="T", price="1.50", data={"k": [1, None]})
    assert made._state.adding is False
    got = await documents.aget(pk="a")
    assert type(got) is Article
    assert (got.title, got.price, got.data) == ("T", Decimal("1.50"), {"k": [1, None]})
    assert got._state.adding is False
    with pytest.raises(Article.DoesNotExist):
        await documents.aget(pk="b")


@ability("Documents", "acreate refuses a second one of the same primary key")
async def _(documents: Any) -> None:
    await documents.acreate(slug="a", title="first")
    with pytest.raises(IntegrityError):
        await documents.acreate(slug="a", title="second")
    assert (await documents.aget(pk="a")).title == "first"


@ability("Documents", "asave")
async def _(documents: Any) -> None:
    one = article("a", likes=1)
    await documents.asave(one)
    one.likes = 2
    await documents.asave(one)
    assert (await documents.aget(pk="a")).likes == 2


@ability("Documents", "asave(update_fields=...)")
async def _(documents: Any) -> None:
    await documents.asave(article("a", likes=1, title="old"))
    await documents.asave(article("a", likes=2, title="new"), update_fields=["likes"])
    got = await documents.aget(pk="a")
    assert (got.likes, got.title) == (2, "old")
    with pytest.raises(Missing):
        await documents.asave(article("b"), update_fields=["likes"])


@ability("Documents", "aremove")
async def _(documents: Any) -> None:
    one = await documents.acreate(slug="a", title="T")
    await documents.aremove(one)
    assert not await documents.filter(pk="a").aexists()
    with pytest.raises(Missing):
        await documents.aremove(one)


@ability("Documents", "aget_or_create")
async def _(documents: Any) -> None:
    one, created = await documents.aget_or_create(pk="a", defaults={"title": "T", "likes": 1})
    assert (one.title, created) == ("T", True)
    one, created = await documents.aget_or_create(pk="a", defaults={"title": "U"})
    assert (one.title, created) == ("T", False)


@ability("Documents", "aupdate_or_create")
async def _(documents: Any) -> None:
    for expected in (True, False):
        one, created = await documents.aupdate_or_create(pk="a", defaults={"title": str(expected)})
        assert (one.title, created) == (str(expected), expected)
    assert (await documents.aget(pk="a")).title == "False"


@ability("Documents", "acount, aexists, acontains", reads_only=True)
async def _(documents: Any) -> None:
    assert await documents.acount() == 6
    assert await documents.all()[1:3].acount() == 2
    assert await documents.all()[5:9].acount() == 1
    assert await documents.aexists()
    assert await documents.filter(pk__in=["a", "nope"]).acount() == 1
    assert not await documents.filter(pk="nope").aexists()
    assert await documents.acontains(article("a"))
    assert not await documents.acontains(article("nope"))
    assert not await documents.none().aexists()


@ability("Documents", "ain_bulk", reads_only=True)
async def _(documents: Any) -> None:
    assert set(await documents.ain_bulk(["a", "c", "nope"])) == {"a", "c"}
    assert set(await documents.ain_bulk([])) == set()


@ability("Documents", "hostile primary keys and values are data")
async def _(documents: Any) -> None:
    hostile = HOSTILE
    result = await documents.abulk_create(
        article(text, title=text, data={text: text, "list": [text]}) for text in hostile
    )
    assert result.succeeded == len(hostile), result.failed
    for text in hostile:
        got = await documents.aget(pk=text)
        assert (got.slug, got.title) == (text, text)
        assert got.data == {text: text, "list": [text]}
    await documents.aremove(article(hostile[0]))
    assert await documents.acount() == len(hostile) - 1


HOSTILE: Sequence[str] = (
    "a", "a/b", "../../etc/passwd", "a*", "*", "?", "{a}", "a}b", "$where", "$gt", "a.b", "_id",
    "__proto__", "' OR 1=1 --", '"}]}', "a:b", "a b", "a\nb", "a\tb", "%2e%2e", "a%00b", "ünï©ode",
    "\u202e", "😀", "null", "None", "-1", "a" * 200, "<script>", "\\", "a+b", "#", "&x=1", "[0-9]",
    "EVAL", "_all", "data2/x", "~", "=", ",", ";", "\x7f",
)  # fmt: skip


# -- which ----------------------------------------------------------------------------------------


@look_up("primary key: exact, in")
async def _(documents: Any) -> None:
    assert await found(documents, pk="b") == "b"
    assert await found(documents, slug__in=["c", "a", "a", None, "nope"]) == "ac"
    assert await found(documents, pk__in=[]) == ""
    assert await found(documents, pk="A") == ""


@look_up("primary key: gt, gte, lt, lte, range")
async def _(documents: Any) -> None:
    assert await found(documents, pk__gt="b") == "cdef"
    assert await found(documents, pk__gte="b", pk__lt="e") == "bcd"
    assert await found(documents, pk__lte="b") == "ab"
    assert await found(documents, pk__range=("b", "d")) == "bcd"


@look_up("primary key: startswith")
async def _(documents: Any) -> None:
    assert await found(documents, pk__startswith="b") == "b"
    assert await found(documents, pk__startswith="*") == ""
    assert await found(documents, pk__startswith="") == "abcdef"


@look_up("exact")
async def _(documents: Any) -> None:
    assert await found(documents, title="Alpha Beta") == "a"
    assert await found(documents, title="Alpha") == ""
    assert await found(documents, title="") == "f"
    assert await found(documents, title="gam_m%a*") == "d"
    assert await found(documents, likes=10) == "c"
    assert await found(documents, likes="10") == "c"
    assert await found(documents, rating=0.0) == "c"
    assert await found(documents, price=Decimal("100.00")) == "c"
    assert await found(documents, is_public=False) == "be"
    assert await found(documents, token=_token(4)) == "d"
    assert await found(documents, day=date(2024, 2, 29)) == "c"
    assert await found(documents, published=datetime(2024, 1, 1, 6, 0, 0, 1, UTC)) == "c"
    assert await found(documents, author=2) == "ce"
    assert await found(documents, author_id=2) == "ce"


@look_up("in")
async def _(documents: Any) -> None:
    assert await found(documents, likes__in=[3, 9, 1000, None]) == "ad"
    assert await found(documents, title__in=["Gamma", "gamma", ""]) == "cf"
    assert await found(documents, price__in=[Decimal("9.990"), Decimal(-1)]) == "bd"
    assert await found(documents, likes__in=[]) == ""


@look_up("gt, gte, lt, lte, range")
async def _(documents: Any) -> None:
    assert await found(documents, likes__gt=9) == "ce"
    assert await found(documents, likes__gte=9) == "cde"
    assert await found(documents, likes__lt=0) == "b"
    assert await found(documents, likes__lte=0) == "bf"
    assert await found(documents, likes__gte=2.5) == "acde"
    assert await found(documents, likes__range=(0, 9)) == "adf"
    assert await found(documents, rating__lt=0.5) == "bce"
    assert await found(documents, price__lt=Decimal("9.995")) == "bde"
    assert await found(documents, price__gte=Decimal(10)) == "ac"
    first = datetime(2024, 1, 1, 6, 0, 0, 0, UTC)
    assert await found(documents, published__gt=first) == "cde"
    assert await found(documents, published__lte=first) == "ab"
    assert await found(documents, day__range=(date(2024, 1, 1), date(2024, 2, 29))) == "bc"


@look_up("isnull")
async def _(documents: Any) -> None:
    assert await found(documents, price__isnull=True) == "f"
    assert await found(documents, price__isnull=False) == "abcde"
    assert await found(documents, published=None) == "f"
    assert await found(documents, title__isnull=True) == ""


@look_up("startswith")
async def _(documents: Any) -> None:
    assert await found(documents, title__startswith="Alpha") == "a"
    assert await found(documents, title__startswith="gam_") == "d"
    assert await found(documents, title__startswith="gam*") == ""
    assert await found(documents, title__startswith="Stra") == "e"


@look_up("endswith")
async def _(documents: Any) -> None:
    assert await found(documents, title__endswith="eta") == "ab"
    assert await found(documents, title__endswith="%a*") == "d"


@look_up("contains")
async def _(documents: Any) -> None:
    assert await found(documents, title__contains="pha B") == "a"
    assert await found(documents, title__contains="_m%") == "d"
    assert await found(documents, title__contains="?") == ""
    assert await found(documents, title__contains=".*") == ""


@look_up("iexact, icontains, istartswith, iendswith")
async def _(documents: Any) -> None:
    assert await found(documents, title__iexact="ALPHA BETA") == "ab"
    assert await found(documents, title__icontains="PHA b") == "ab"
    assert await found(documents, title__icontains="A*") == "d"
    assert await found(documents, title__istartswith="ALPHA") == "ab"
    assert await found(documents, title__iendswith="MMA") == "c"


@look_up("regex")
async def _(documents: Any) -> None:
    assert await found(documents, title__regex="^[AG].*a$") == "ac"
    assert await found(documents, title__regex="mm") == "c"


@look_up("iregex")
async def _(documents: Any) -> None:
    assert await found(documents, title__iregex="^alpha") == "ab"


@look_up("year, date")
async def _(documents: Any) -> None:
    # The time zone of the test settings is six hours behind UTC.
    assert await found(documents, published__year=2024) == "bcd"
    assert await found(documents, published__year__lt=2024) == "a"
    assert await found(documents, published__year__gte=2024) == "bcde"
    assert await found(documents, published__date=date(2024, 1, 1)) == "bc"
    assert await found(documents, day__year=2024) == "bcd"


@look_up("into a JSONField")
async def _(documents: Any) -> None:
    assert await found(documents, data__size=2) == "b"
    assert await found(documents, data__deep__name="Ann") == "a"
    assert await found(documents, data__size__in=[1, 10]) == "ac"


@look_up("exclude")
async def _(documents: Any) -> None:
    assert "".join(sorted(await slugs(documents.exclude(likes=10)))) == "abdef"
    # What is null equals nothing.
    assert "".join(sorted(await slugs(documents.exclude(price=Decimal(100))))) == "abdef"
    assert "".join(sorted(await slugs(documents.exclude(price__gt=0)))) == "df"
    assert "".join(sorted(await slugs(documents.exclude(price__isnull=True)))) == "abcde"
    assert "".join(sorted(await slugs(documents.exclude(Q())))) == "abcdef"


@look_up("Q of one field: and, or, not, xor")
async def _(documents: Any) -> None:
    assert await found(documents, Q(likes=3) | Q(likes=10)) == "ac"
    assert await found(documents, Q(likes__gt=0) & ~Q(likes=9)) == "ace"
    assert await found(documents, ~(Q(likes__lt=0) | Q(likes__gt=9))) == "adf"
    assert await found(documents, Q(likes__gte=3) ^ Q(likes__lte=9)) == "bcef"


@look_up("several fields, Q of them")
async def _(documents: Any) -> None:
    assert await found(documents, likes__gt=0, is_public=True) == "acd"
    assert await found(documents, Q(likes=3) | Q(title="Gamma")) == "ac"
    assert await found(documents, ~Q(likes=3, title="Gamma")) == "abcdef"
    assert await found(documents, Q(author=1) & ~Q(is_public=True) | Q(pk="f")) == "bf"
    assert await found(documents, ~Q(Q(price__isnull=True) | Q(author=2))) == "abd"


@look_up("what is no field is an error")
async def _(documents: Any) -> None:
    for name in ("nope", "title__$where", "title__'; DROP TABLE", "$where", "title.raw"):
        with pytest.raises(FieldError):
            documents.filter(**{name: "1"})
    with pytest.raises((TypeError, ValueError), match="likes"):
        documents.filter(likes={"$gt": 0})
    with pytest.raises(TypeError):
        documents.filter(likes__in=5)
    assert await found(documents, pk=str({"$gt": ""})) == ""


# -- in what order, how much ----------------------------------------------------------------------


@ability("Order and slices", "by the primary key, sliced", reads_only=True)
async def _(documents: Any) -> None:
    ordered = documents.order_by("pk")
    assert await slugs(ordered) == list("abcdef")
    assert await slugs(ordered[1:3]) == ["b", "c"]
    assert await slugs(ordered[4:]) == ["e", "f"]
    assert await slugs(ordered[1:][1:][:2]) == ["c", "d"]
    assert await slugs(ordered[9:12]) == []
    assert (await ordered.afirst()).slug == "a"
    assert await documents.none().afirst() is None


@ability("Order and slices", "backwards by the primary key", reads_only=True)
async def _(documents: Any) -> None:
    assert await slugs(documents.order_by("-pk")[:2]) == ["f", "e"]
    assert await slugs(documents.order_by("pk").reverse()[:2]) == ["f", "e"]
    assert (await documents.order_by("pk").alast()).slug == "f"


@ability("Order and slices", "by a field", reads_only=True)
async def _(documents: Any) -> None:
    assert await slugs(documents.order_by("likes")) == list("bfadce")
    assert await slugs(documents.order_by("-likes")) == list("ecdafb")
    assert await slugs(documents.order_by("-likes")[1:3]) == ["c", "d"]
    having = documents.filter(published__isnull=False)
    assert await slugs(having.order_by("published")) == list("abcde")
    assert (await documents.aearliest("likes")).slug == "b"
    assert (await documents.alatest("likes")).slug == "e"


@ability("Order and slices", "by several fields", reads_only=True)
async def _(documents: Any) -> None:
    known = documents.filter(pk__lt="f")
    assert await slugs(known.order_by("-author", "slug")) == list("dceab")
    assert await slugs(documents.order_by("is_public", "-likes")) == list("ebcdaf")


@ability("Projections", "values, values_list", reads_only=True)
async def _(documents: Any) -> None:
    some = documents.filter(pk__in=["a"])
    assert [each async for each in some.values("slug", "likes")] == [{"slug": "a", "likes": 3}]
    assert [each async for each in some.values_list("price", "day")] == [
        (Decimal("10.50"), date(2023, 12, 31))
    ]
    (row,) = [each async for each in some.values_list("slug", "author", named=True)]
    assert (row.slug, row.author) == ("a", 1)
    whole = [each async for each in some.values()]
    assert whole[0]["author_id"] == 1
    assert whole[0]["data"]["deep"] == {"name": "Ann"}


@ability("Projections", "only, defer", reads_only=True)
async def _(documents: Any) -> None:
    (one,) = [each async for each in documents.filter(pk__in=["a"]).only("title")]
    assert (one.pk, one.title) == ("a", "Alpha Beta")
    assert "likes" in one.get_deferred_fields()
    (one,) = [each async for each in documents.filter(pk__in=["a"]).defer("body")]
    assert one.get_deferred_fields() == {"body"}
    assert one.likes == 3


# -- figures --------------------------------------------------------------------------------------


@ability("Figures", "aaggregate", reads_only=True)
async def _(documents: Any) -> None:
    got = await documents.aaggregate(
        Count("pk"), Sum("author"), lowest=Min("price"), latest=Max("published"),
        mean=Avg("rating"), priced=Count("price"), authors=Count("author", distinct=True),
        public=Count("pk", filter=Q(is_public=True)),
    )  # fmt: skip
    assert got["pk__count"] == 6
    assert got["author__sum"] == 9
    assert got["lowest"] == Decimal(-1)
    assert got["latest"] == datetime(2025, 1, 1, 6, 0, tzinfo=UTC)
    assert got["mean"] == pytest.approx((1.5 - 2.25 + 1e10 + 1e-10) / 5)
    assert (got["priced"], got["authors"], got["public"]) == (5, 3, 4)
    nothing = await documents.none().aaggregate(n=Count("pk"), s=Sum("likes"))
    assert nothing == {"n": 0, "s": None}


@ability("Figures", "values().annotate()", reads_only=True)
async def _(documents: Any) -> None:
    groups = (
        documents.filter(pk__lt="f").values("author").annotate(n=Count("pk"), most=Max("price"))
    )
    assert [each async for each in groups.order_by("author")] == [
        {"author": 1, "n": 2, "most": Decimal("10.50")},
        {"author": 2, "n": 2, "most": Decimal(100)},
        {"author": 3, "n": 1, "most": Decimal(-1)},
    ]
    by_public = documents.values_list("is_public").annotate(n=Count("*")).order_by("is_public")
    assert [each async for each in by_public] == [(False, 2), (True, 4)]


@ability("Figures", "values().distinct()", reads_only=True)
async def _(documents: Any) -> None:
    rows = documents.filter(pk__lt="f").values_list("author", flat=True).distinct()
    assert [each async for each in rows.order_by("author")] == [1, 2, 3]


# -- many at a time -------------------------------------------------------------------------------


@ability("Bulk", "abulk_create")
async def _(documents: Any) -> None:
    result = await documents.abulk_create((article(f"{n:04}") for n in range(300)), batch_size=100)
    assert (result.succeeded, result.failed, result.processed) == (300, [], 300)
    assert result.duration > 0
    assert await documents.acount() == 300


@ability("Bulk", "abulk_create tells each failure")
async def _(documents: Any) -> None:
    await documents.abulk_create([article(str(n)) for n in range(0, 10, 2)])
    result = await documents.abulk_create([article(str(n)) for n in range(10)], batch_size=4)
    assert (result.succeeded, len(result.failed), result.processed) == (5, 5, 10)
    assert [each.index for each in result.failed] == [0, 2, 4, 6, 8]
    assert [each.id for each in result.failed] == ["0", "2", "4", "6", "8"]
    assert {type(each.error) for each in result.failed} == {IntegrityError}
    assert await documents.acount() == 10


@ability("Bulk", "abulk_create(ignore_conflicts=True)")
async def _(documents: Any) -> None:
    await documents.abulk_create([article("a", likes=1)])
    result = await documents.abulk_create([article("a"), article("b")], ignore_conflicts=True)
    assert (result.succeeded, result.ignored, result.failed) == (1, 1, [])
    assert (await documents.aget(pk="a")).likes == 1


@ability("Bulk", "abulk_create(update_conflicts=True)")
async def _(documents: Any) -> None:
    await documents.abulk_create([article("a", likes=1)])
    result = await documents.abulk_create(
        [article("a", likes=2), article("b")], update_conflicts=True
    )
    assert (result.succeeded, result.failed) == (2, [])
    assert (await documents.aget(pk="a")).likes == 2


@ability("Bulk", "on_error ends it")
async def _(documents: Any) -> None:
    await documents.abulk_create([article("03")])
    told: list[Any] = []

    def refuse(errors: Sequence[Any]) -> bool:
        told.extend(errors)
        return False

    result = await documents.abulk_create(
        (article(f"{n:02}") for n in range(20)), batch_size=2, concurrency=1, on_error=refuse
    )
    assert [each.index for each in told] == [3]
    assert result.stopped
    assert (result.succeeded, result.processed) == (3, 4)
    assert await documents.acount() == 4


@ability("Bulk", "abulk_update")
async def _(documents: Any) -> None:
    await documents.abulk_create([article("a", body="x"), article("b", body="x")])
    result = await documents.abulk_update(
        [article("a", likes=5), article("b", likes=6), article("nope")], ["likes"]
    )
    assert (result.succeeded, [each.index for each in result.failed]) == (2, [2])
    assert isinstance(result.failed[0].error, Missing)
    got = await documents.aget(pk="b")
    assert (got.likes, got.body) == (6, "x")


@ability("Bulk", "abulk_delete")
async def _(documents: Any) -> None:
    await documents.abulk_create([article("a"), article("b")])
    result = await documents.abulk_delete([article("a"), article("nope")])
    assert (result.succeeded, [each.id for each in result.failed]) == (1, ["nope"])
    assert await slugs(documents.all()) == ["b"]


@ability("Bulk", "aupdate of a filter")
async def _(documents: Any) -> None:
    await documents.abulk_create([article(name, likes=n) for n, name in enumerate("abcd")])
    assert await documents.filter(likes__gte=2).aupdate(likes=7, body="new") == 2
    assert await found(documents, likes=7) == "cd"
    assert (await documents.aget(pk="c")).body == "new"
    assert await documents.filter(likes=99).aupdate(likes=1) == 0


@ability("Bulk", "adelete of primary keys")
async def _(documents: Any) -> None:
    await documents.abulk_create([article(name) for name in "abc"])
    gone = await documents.filter(pk__in=["a", "c", "nope"]).adelete()
    assert gone == (2, {"stores.Article": 2})
    assert await slugs(documents.all()) == ["b"]


@ability("Bulk", "adelete of a filter")
async def _(documents: Any) -> None:
    await documents.abulk_create([article(name, likes=n) for n, name in enumerate("abcd")])
    assert (await documents.filter(likes__gte=2).adelete())[0] == 2
    assert "".join(sorted(await slugs(documents.all()))) == "ab"
    assert (await documents.filter(likes=99).adelete()) == (0, {})


@ability("Streams", "aiterator in pages")
async def _(documents: Any) -> None:
    names = [f"{n:04}" for n in range(450)]
    await documents.abulk_create([article(name) for name in names])
    read = [each.slug async for each in documents.order_by("pk").aiterator(chunk_size=100)]
    assert read == names
    seen = []
    async for each in documents.order_by("pk").aiterator(chunk_size=50, prefetch=3):
        seen.append(each.slug)
        if len(seen) == 60:
            break
    assert seen == names[:60]
    assert await slugs(documents.order_by("pk")[195:205]) == names[195:205]


@ability("Streams", "from one bulk into another")
async def _(documents: Any) -> None:
    await documents.abulk_create([article(f"{n:03}") for n in range(120)])

    async def renamed() -> Any:
        async for each in documents.filter(pk__in=[f"{n:03}" for n in range(120)]):
            each.slug = f"copy-{each.slug}"
            yield each

    result = await documents.abulk_create(renamed(), batch_size=25, concurrency=2)
    assert result.succeeded == 120
    assert await documents.acount() == 240


# -- two at a time --------------------------------------------------------------------------------


@ability("Conflicts", "asave(if_unchanged=True)")
async def _(documents: Any) -> None:
    await documents.acreate(slug="a", title="T", likes=0)
    mine, theirs = await documents.aget(pk="a"), await documents.aget(pk="a")
    mine.likes = 1
    await documents.asave(mine, if_unchanged=True)
    theirs.likes = 2
    with pytest.raises(Conflict):
        await documents.asave(theirs, if_unchanged=True)
    assert (await documents.aget(pk="a")).likes == 1
    mine.likes = 3
    await documents.asave(mine, if_unchanged=True)  # its own write is no conflict
    assert (await documents.aget(pk="a")).likes == 3


@ability("Conflicts", "aremove(if_unchanged=True)")
async def _(documents: Any) -> None:
    await documents.acreate(slug="a", title="T")
    mine, theirs = await documents.aget(pk="a"), await documents.aget(pk="a")
    mine.title = "U"  # a version may say no more than what is in a document
    await documents.asave(mine)
    with pytest.raises(Conflict):
        await documents.aremove(theirs, if_unchanged=True)
    await documents.aremove(mine, if_unchanged=True)
    assert not await documents.aexists()
