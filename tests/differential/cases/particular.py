"""What django.contrib.postgres has: arrays, ranges, hstore, search, trigrams, unaccent."""

from __future__ import annotations

import datetime
import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

import django
from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField, IntegerRangeField
from django.contrib.postgres.fields.ranges import RangeBoundary
from django.contrib.postgres.search import (
    SearchHeadline,
    SearchQuery,
    SearchRank,
    SearchVector,
    TrigramDistance,
    TrigramSimilarity,
    TrigramStrictWordDistance,
    TrigramStrictWordSimilarity,
    TrigramWordDistance,
    TrigramWordSimilarity,
)
from django.db.models import Count, F, Func, IntegerField, OuterRef, Q, TextField, Value
from django.db.models.functions import Cast, JSONObject, Lower
from psycopg.types.range import DateRange, Int4Range, NumericRange, Range, TimestamptzRange

from tests.differential.case import Cases
from tests.differential.data import at
from tests.differential.models import Booking, Document, Particular, Person
from tests.differential.worlds import moment

cases = Cases()

FIELDS = [field.name for field in Particular._meta.fields]


@cases.reading(Particular)
def values_of_each_field() -> list[Any]:
    def of(name: str) -> Any:
        return lambda rows: rows.order_by("pk").values_list(name, flat=True)

    return [of(name) for name in FIELDS] + [
        lambda rows: rows.all(),
        lambda rows: rows.order_by("pk").values(),
        lambda rows: rows.order_by("pk").in_bulk(),
        lambda rows: rows.only("matrix", "store").order_by("pk"),
    ]


@cases.reading(Particular)
def arrays() -> list[Any]:
    return [
        lambda rows: rows.filter(words=["alpha", "b'c"]),
        lambda rows: rows.filter(words=[]),
        lambda rows: rows.filter(words=("alpha", "b'c", "50%")),
        lambda rows: rows.filter(words__contains=["alpha"]).order_by("pk"),
        lambda rows: rows.filter(words__contains=['"q"', "{x,y}"]).order_by("pk"),
        lambda rows: rows.filter(words__contains=[]).order_by("pk"),
        lambda rows: rows.filter(words__contained_by=["alpha", "b'c", "50%", ""]).order_by("pk"),
        lambda rows: rows.filter(words__overlap=["50%", "NULL"]).order_by("pk"),
        lambda rows: rows.filter(
            words__overlap=Particular.objects.filter(pk=2).values_list("words")
        ).order_by("pk"),
        lambda rows: rows.filter(words__len=2),
        lambda rows: rows.filter(words__len__gt=3).order_by("pk"),
        lambda rows: rows.filter(words__len=0),
        lambda rows: rows.filter(words__0="alpha").order_by("pk"),
        lambda rows: rows.filter(words__1__startswith="b").order_by("pk"),
        lambda rows: rows.filter(words__0_2=["alpha", "b'c"]).order_by("pk"),
        lambda rows: rows.filter(words__2_9__contains=["50%"]).order_by("pk"),
        lambda rows: rows.filter(words__in=[["alpha", "b'c"], []]).order_by("pk"),
        lambda rows: rows.filter(words__icontains="ALPHA").order_by("pk"),
        lambda rows: rows.filter(words__gt=["alpha", "b'c"]).order_by("pk"),
        lambda rows: rows.filter(words__isnull=True),
        lambda rows: rows.filter(numbers__contains=[1]).order_by("pk"),
        lambda rows: rows.filter(numbers=[2, None, 4, -2]),
        lambda rows: rows.filter(numbers__0=3),
        lambda rows: rows.filter(numbers__2__gt=5).order_by("pk"),
        lambda rows: rows.filter(numbers__1=None).order_by("pk"),
        lambda rows: rows.filter(numbers__1__isnull=True).order_by("pk"),
        lambda rows: rows.filter(numbers__overlap=[16, 25]).order_by("pk"),
        lambda rows: rows.filter(numbers__in=[[1, None, 1, -1]]),
        lambda rows: rows.filter(matrix=[[3, 1], [2, 3]]),
        lambda rows: rows.filter(matrix__contains=[[4, 1]]),
        lambda rows: rows.filter(matrix__0__0=2),
        lambda rows: rows.filter(matrix__len=2).order_by("pk"),
        lambda rows: rows.filter(days__contains=[datetime.date(2024, 1, 2)]),
        lambda rows: rows.filter(days__0__gt=datetime.date(2024, 1, 3)).order_by("pk"),
        lambda rows: rows.filter(days__1__month=2).order_by("pk"),
        lambda rows: rows.filter(moments__overlap=[at(2024, 10, 27, 2)]),
        lambda rows: rows.filter(moments__0__lt=moment(2024, 3, 31, 0, 3)).order_by("pk"),
        lambda rows: rows.filter(amounts__contains=[Decimal("0.25")]),
        lambda rows: rows.filter(amounts__contained_by=[0.5, Decimal("1.1"), 2]).order_by("pk"),
        lambda rows: rows.filter(ids__contains=[uuid.UUID(int=3)]),
        lambda rows: rows.filter(ids=[str(uuid.UUID(int=4))]),
        lambda rows: rows.filter(addresses__contains=["::1"]).order_by("pk"),
        lambda rows: rows.filter(flags=[True, False, False]).order_by("pk"),
        lambda rows: rows.filter(flags__1=True).order_by("pk"),
        lambda rows: rows.filter(spans__contains=[timedelta(days=2)]),
        lambda rows: rows.filter(choice_list=[0.5, 1e300]),
        lambda rows: rows.filter(choice_list__0__gte=1).order_by("pk"),
        lambda rows: rows.filter(ranges__contains=[Range(1, 3)]),
        lambda rows: rows.filter(facts__0={"n": 2}),
        lambda rows: rows.order_by("words", "pk").values_list(
            "words__0", "numbers__2", "matrix__1__0"
        ),
        lambda rows: rows.order_by("-numbers", "pk"),
        lambda rows: rows.annotate(n=F("words__len")).filter(n__gte=4).order_by("pk"),
        lambda rows: (
            rows.annotate(
                x=Func(
                    F("numbers"),
                    Value(7),
                    function="array_append",
                    output_field=ArrayField(IntegerField()),
                )
            )
            .order_by("pk")
            .values("x")
        ),
        lambda rows: (
            rows.annotate(x=Func(F("words"), function="unnest", output_field=TextField()))
            .order_by("pk", "x")
            .values_list("pk", "x")
        ),
        lambda rows: (
            rows.annotate(x=Value(["a", "b"], output_field=ArrayField(TextField())))
            .order_by("pk")
            .values("x")
        ),
        lambda rows: (
            rows.annotate(x=Cast("numbers", ArrayField(TextField()))).order_by("pk").values("x")
        ),
        lambda rows: (
            rows.annotate(
                x=ArraySubquery(
                    Particular.objects.filter(pk__lt=OuterRef("pk"))
                    .order_by("pk")
                    .values("insensitive")
                )
            )
            .order_by("pk")
            .values("x")
        ),
        lambda rows: (
            rows.annotate(
                x=ArraySubquery(Person.objects.order_by("pk").values(j=JSONObject(n="name"))[:2])
            )
            .order_by("pk")
            .values("x")
        ),
        lambda rows: rows.values("flags").annotate(n=Count("pk")).order_by("n", "flags"),
    ]


@cases.reading(Particular)
def hstores() -> list[Any]:
    return [
        lambda rows: rows.filter(store={"a": "1", "b": None, "k 'q' %": "=>", "n": "x"}),
        lambda rows: rows.filter(store={}),
        lambda rows: rows.filter(store__contains={"a": "2"}),
        lambda rows: rows.filter(store__contains={"k 'q' %": "=>"}).order_by("pk"),
        lambda rows: rows.filter(store__contained_by={"a": "1", "z": "0"}).order_by("pk"),
        lambda rows: rows.filter(store__has_key="b").order_by("pk"),
        lambda rows: rows.filter(store__has_keys=["a", "n"]).order_by("pk"),
        lambda rows: rows.filter(store__has_any_keys=["z", "n"]).order_by("pk"),
        lambda rows: rows.filter(store__a="3"),
        lambda rows: rows.filter(store__a__in=["3", "4"]).order_by("pk"),
        lambda rows: rows.filter(store__n__contains="xxx").order_by("pk"),
        lambda rows: rows.filter(store__b__isnull=True).order_by("pk"),
        lambda rows: rows.filter(store__a__gt="3").order_by("pk"),
        lambda rows: rows.filter(**{"store__k 'q' %": "=>"}).order_by("pk"),
        lambda rows: rows.filter(store__keys=["a", "b", "n", "k 'q' %"]).order_by("pk"),
        lambda rows: rows.filter(store__keys__contains=["a"]).order_by("pk"),
        lambda rows: rows.filter(store__values__contains=["2"]).order_by("pk"),
        lambda rows: rows.filter(store__contains=F("store")).order_by("pk"),
        lambda rows: rows.order_by("store__a", "pk").values(
            "store__a", "store__keys", "store__values"
        ),
        lambda rows: rows.values("store__b").annotate(n=Count("pk")).order_by("n"),
    ]


DECIMALS_IN_RANGES = [
    lambda rows: rows.filter(decimal_range__contains=1.5),
    lambda rows: rows.filter(decimal_range__contains=Decimal("2.0")),
]
"""Django compares them from 6.1 on."""


@cases.reading(Particular)
def ranges() -> list[Any]:
    return [
        lambda rows: rows.filter(int_range=Range(1, 6)),
        lambda rows: rows.filter(int_range=(1, 6)),
        lambda rows: rows.filter(int_range=Int4Range(1, 5, "[]")),
        lambda rows: rows.filter(int_range__contains=6).order_by("pk"),
        lambda rows: rows.filter(int_range__contains=Range(4, 6)).order_by("pk"),
        lambda rows: rows.filter(int_range__contains=(4, 6)).order_by("pk"),
        lambda rows: rows.filter(int_range__contained_by=(0, 8)).order_by("pk"),
        lambda rows: rows.filter(int_range__overlap=(8, None)).order_by("pk"),
        lambda rows: rows.filter(int_range__fully_lt=(7, 9)).order_by("pk"),
        lambda rows: rows.filter(int_range__fully_gt=(0, 3)).order_by("pk"),
        lambda rows: rows.filter(int_range__not_lt=(3, 9)).order_by("pk"),
        lambda rows: rows.filter(int_range__not_gt=(3, 9)).order_by("pk"),
        lambda rows: rows.filter(int_range__adjacent_to=(6, 9)).order_by("pk"),
        lambda rows: rows.filter(int_range__startswith=3),
        lambda rows: rows.filter(int_range__endswith__gt=7).order_by("pk"),
        lambda rows: rows.filter(int_range__isempty=True),
        lambda rows: rows.filter(int_range__lower_inc=True).order_by("pk"),
        lambda rows: rows.filter(big_range__upper_inf=True).order_by("pk"),
        lambda rows: rows.filter(decimal_range__lower_inf=True).order_by("pk"),
        lambda rows: rows.filter(decimal_range__upper_inc=True).order_by("pk"),
        lambda rows: rows.filter(int_range__isnull=True),
        lambda rows: rows.filter(big_range__contains=3 * 10**12).order_by("pk"),
        lambda rows: rows.filter(decimal_range=NumericRange(Decimal("0.5"), 1, "(]")),
        lambda rows: rows.filter(date_range__contains=datetime.date(2024, 1, 3)).order_by("pk"),
        lambda rows: rows.filter(
            date_range=DateRange(datetime.date(2024, 1, 1), datetime.date(2024, 2, 1))
        ),
        lambda rows: rows.filter(date_range__startswith__gte="2024-01-03").order_by("pk"),
        lambda rows: rows.filter(date_range__contained_by=("2024-01-02", "2024-03-01")).order_by(
            "pk"
        ),
        lambda rows: rows.filter(moment_range__contains=at(2024, 1, 3, 5)),
        lambda rows: rows.filter(
            moment_range__overlap=(at(2024, 1, 2, 5), at(2024, 1, 3, 5))
        ).order_by("pk"),
        lambda rows: rows.filter(moment_range=TimestamptzRange(at(2024, 1, 1), at(2024, 1, 2))),
        lambda rows: rows.filter(moment_range__startswith__year=2024).order_by("pk"),
        lambda rows: rows.filter(int_range__contains=F("pk")).order_by("pk"),
        lambda rows: rows.filter(int_range__in=[Range(1, 6), (2, 7)]).order_by("pk"),
        lambda rows: (
            rows.annotate(
                x=Func(
                    F("int_range"),
                    Value(Range(3, 8), output_field=IntegerRangeField()),
                    arg_joiner=" * ",
                    template="%(expressions)s",
                    output_field=IntegerRangeField(),
                )
            )
            .order_by("pk")
            .values("x")
        ),
        lambda rows: rows.order_by("int_range", "pk").values_list(
            "int_range", "int_range__startswith"
        ),
        lambda rows: (
            rows.annotate(x=Func(F("int_range"), function="lower", output_field=IntegerField()))
            .order_by("pk")
            .values("x")
        ),
        *(DECIMALS_IN_RANGES if django.VERSION >= (6, 1) else []),
    ]


@cases.reading(Particular)
def case_insensitive_and_others() -> list[Any]:
    return [
        lambda rows: rows.filter(insensitive="one").order_by("pk"),
        lambda rows: rows.filter(insensitive__in=["ONE", "tWo"]).order_by("pk"),
        lambda rows: rows.filter(insensitive__startswith="o").order_by("pk"),
        lambda rows: rows.filter(insensitive__contains="NE").order_by("pk"),
        lambda rows: rows.exclude(insensitive="one").order_by("pk"),
        lambda rows: rows.values("insensitive").annotate(n=Count("pk")).order_by("insensitive"),
        lambda rows: rows.order_by("insensitive", "pk").values_list("insensitive", flat=True),
        lambda rows: rows.annotate(x=Lower("insensitive")).order_by("x", "pk").values("x"),
        lambda rows: rows.filter(collated__gt="abc").order_by("collated"),
        lambda rows: rows.filter(collated__iexact="abc").order_by("pk"),
        lambda rows: rows.filter(mac="08:00:2b:01:02:03"),
        lambda rows: rows.filter(mac="08002B010203"),
        lambda rows: rows.filter(mac__gt="08:00:2b:01:02:03").order_by("mac"),
        lambda rows: rows.filter(mac__in=["08:00:2b:01:02:03", "08-00-2b-01-02-04"]).order_by("pk"),
        lambda rows: rows.values_list("mac", flat=True).order_by("-mac"),
        lambda rows: rows.filter(insensitive__unaccent="e").order_by("pk"),
        lambda rows: rows.filter(collated__unaccent__icontains="É").order_by("pk"),
        lambda rows: rows.filter(collated__unaccent__startswith="e").order_by("pk"),
    ]


@cases.reading(Document)
def full_text_search() -> list[Any]:
    return [
        lambda rows: rows.order_by("pk"),
        lambda rows: rows.filter(body__search="fox").order_by("pk"),
        lambda rows: rows.filter(body__search="foxes dogs").order_by("pk"),
        lambda rows: rows.filter(body__search=SearchQuery("fox", config="english")).order_by("pk"),
        lambda rows: rows.filter(found="dog").order_by("pk"),
        lambda rows: rows.filter(found=SearchQuery("dog") | SearchQuery("pool")).order_by("pk"),
        lambda rows: rows.filter(found=SearchQuery("dog") & ~SearchQuery("lazy")).order_by("pk"),
        lambda rows: rows.filter(indexed=SearchQuery("hunting", config="english")).order_by("pk"),
        lambda rows: rows.filter(
            indexed=SearchQuery("'fox' & 'hound'", search_type="raw", config="english")
        ),
        lambda rows: rows.filter(indexed=SearchQuery("quick fox", search_type="phrase")),
        lambda rows: rows.filter(
            indexed=SearchQuery('"quick brown" -cat', search_type="websearch")
        ),
        lambda rows: (
            rows.annotate(v=SearchVector("title", "body"))
            .filter(v="fox")
            .order_by("pk")
            .values("pk", "v")
        ),
        lambda rows: (
            rows.annotate(v=SearchVector("title", weight="A") + SearchVector("body", weight="C"))
            .order_by("pk")
            .values("v")
        ),
        lambda rows: (
            rows.annotate(v=SearchVector("body", config="french"))
            .filter(v=SearchQuery("croissant", config="french"))
            .values("title")
        ),
        lambda rows: (
            rows.annotate(v=SearchVector("body", config="simple")).order_by("pk").values("v")
        ),
        lambda rows: (
            rows.annotate(r=SearchRank("indexed", SearchQuery("fox")))
            .order_by("-r", "pk")
            .values("pk", "r")
        ),
        lambda rows: (
            rows.annotate(
                r=SearchRank(SearchVector("body"), "fox dog", weights=[0.1, 0.2, 0.4, 1.0])
            )
            .order_by("-r", "pk")
            .values("r")
        ),
        lambda rows: (
            rows.annotate(
                r=SearchRank(
                    "indexed", SearchQuery("fox"), normalization=Value(2), cover_density=True
                )
            )
            .filter(r__gt=0)
            .order_by("pk")
            .values("r")
        ),
        lambda rows: (
            rows.annotate(h=SearchHeadline("body", SearchQuery("fox"))).order_by("pk").values("h")
        ),
        lambda rows: (
            rows.annotate(
                h=SearchHeadline(
                    "body",
                    "dog",
                    config="english",
                    start_sel="<b>",
                    stop_sel="</b>",
                    max_words=6,
                    min_words=2,
                    highlight_all=False,
                )
            )
            .order_by("pk")
            .values("h")
        ),
        lambda rows: (
            rows.annotate(
                h=SearchHeadline(
                    "body", SearchQuery("100%"), max_fragments=2, fragment_delimiter=" '%s' "
                )
            )
            .order_by("pk")
            .values("h")
        ),
        lambda rows: rows.filter(title__search="it's 100% & |").order_by("pk"),
        lambda rows: rows.filter(body__search="").order_by("pk"),
        lambda rows: rows.exclude(body__search="fox").order_by("pk"),
        lambda rows: rows.filter(body__search=F("title")).order_by("pk"),
        lambda rows: rows.annotate(q=SearchQuery("fox")).order_by("pk").values("q"),
        lambda rows: rows.filter(found__isnull=False).defer("found", "indexed").order_by("pk"),
    ]


@cases.reading(Document)
def trigrams_and_accents() -> list[Any]:
    return [
        lambda rows: rows.filter(title__trigram_similar="fox").order_by("pk"),
        lambda rows: rows.filter(title__trigram_word_similar="foxs").order_by("pk"),
        lambda rows: rows.filter(title__trigram_strict_word_similar="foxes").order_by("pk"),
        lambda rows: (
            rows.annotate(x=TrigramSimilarity("title", "quick")).order_by("-x", "pk").values("x")
        ),
        lambda rows: (
            rows.annotate(x=TrigramDistance("title", "quick")).order_by("x", "pk").values("x")
        ),
        lambda rows: (
            rows.annotate(x=TrigramWordSimilarity("foxes", "body")).filter(x__gt=0.3).order_by("pk")
        ),
        lambda rows: (
            rows.annotate(x=TrigramWordDistance("foxes", "body")).order_by("x", "pk").values("x")
        ),
        lambda rows: (
            rows.annotate(x=TrigramStrictWordSimilarity("dog", "body")).order_by("pk").values("x")
        ),
        lambda rows: (
            rows.annotate(x=TrigramStrictWordDistance("dog", "body")).order_by("pk").values("x")
        ),
        lambda rows: rows.filter(title__unaccent="Le cafe"),
        lambda rows: rows.filter(title__unaccent__icontains="CAFÉ").order_by("pk"),
        lambda rows: rows.filter(body__unaccent__contains="pres de l'hotel").order_by("pk"),
        lambda rows: rows.filter(body__unaccent__regex="h.tel").order_by("pk"),
        lambda rows: rows.filter(body__unaccent__startswith="un").order_by("pk"),
        lambda rows: rows.filter(title__unaccent__trigram_similar="café").order_by("pk"),
        lambda rows: rows.values_list("title__unaccent", flat=True).order_by(
            "title__unaccent", "pk"
        ),
        lambda rows: rows.filter(
            Q(title__unaccent__iexact="LE CAFE") | Q(body__search="pool")
        ).order_by("pk"),
    ]


@cases.reading(Booking)
def bookings() -> list[Any]:
    return [
        lambda rows: rows.order_by("pk"),
        lambda rows: rows.filter(during__overlap=(at(2024, 1, 2), at(2024, 1, 4))).order_by("pk"),
        lambda rows: rows.annotate(
            free=Func(
                Lower("code"),
                Value("c1"),
                arg_joiner=" = ",
                template="(%(expressions)s)",
                output_field=TextField(),
            )
        ).count(),
        lambda rows: rows.filter(during__contains=moment(2024, 1, 3, 6)),
        lambda rows: (
            rows.annotate(
                x=Func(
                    Value(at(2024, 1, 1)),
                    Value(at(2024, 1, 3)),
                    RangeBoundary(),
                    function="tstzrange",
                    output_field=Booking._meta.get_field("during"),
                )
            )
            .filter(x__overlap=F("during"))
            .order_by("pk")
        ),
    ]


@cases.failing(Particular)
def particular_ones_that_fail() -> list[Any]:
    return [
        lambda rows: rows.filter(words__contains="alpha"),
        lambda rows: rows.filter(numbers=["x"]),
        lambda rows: rows.filter(matrix=[[1], [2, 3]]),
        lambda rows: rows.filter(int_range=Range(5, 1)),
        lambda rows: rows.filter(int_range__contains="x"),
        lambda rows: rows.filter(date_range__contains="x"),
        lambda rows: rows.filter(mac="no such address"),
        lambda rows: rows.filter(flags__overlap=["perhaps"]),
        lambda rows: rows.filter(matrix__1=[2, 3]),
        lambda rows: rows.filter(int_range=NumericRange(1, 6)),
        lambda rows: rows.filter(words__search="alpha", insensitive__nothing=1),
        *(DECIMALS_IN_RANGES if django.VERSION < (6, 1) else []),
    ]
