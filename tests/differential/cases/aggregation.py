"""Aggregates, over all rows and by group."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

from django.contrib.postgres.aggregates import (
    ArrayAgg,
    BitAnd,
    BitOr,
    BitXor,
    BoolAnd,
    BoolOr,
    Corr,
    CovarPop,
    JSONBAgg,
    RegrAvgX,
    RegrAvgY,
    RegrCount,
    RegrIntercept,
    RegrR2,
    RegrSlope,
    RegrSXX,
    RegrSXY,
    RegrSYY,
    StringAgg,
)
from django.db.models import (
    Avg,
    Case,
    Count,
    DecimalField,
    DurationField,
    ExpressionWrapper,
    F,
    FloatField,
    IntegerField,
    Max,
    Min,
    OuterRef,
    Q,
    StdDev,
    Subquery,
    Sum,
    Value,
    Variance,
    When,
)
from django.db.models.functions import Cast, Coalesce, ExtractYear, Lower, TruncMonth

from tests.differential.case import Cases
from tests.differential.models import Author, Book, Everything, Publisher

cases = Cases()


@cases.reading(Book)
def over_all_rows() -> list[Any]:
    return [
        lambda rows: rows.aggregate(Count("pk")),
        lambda rows: rows.aggregate(Count("publisher", distinct=True)),
        lambda rows: rows.aggregate(n=Count("*"), m=Count("pk", filter=Q(pages__gt=100))),
        lambda rows: rows.aggregate(Sum("price"), Avg("price"), Min("price"), Max("price")),
        lambda rows: rows.aggregate(
            Sum("pages"), Avg("pages"), StdDev("pages"), Variance("pages", sample=True)
        ),
        lambda rows: rows.aggregate(Sum("rating"), Avg("rating"), Max("rating"), StdDev("rating")),
        lambda rows: rows.aggregate(Sum("shelf_time"), Avg("shelf_time"), Min("shelf_time")),
        lambda rows: rows.aggregate(Min("published"), Max("published"), Min("released")),
        lambda rows: rows.aggregate(Min("title"), last=Max(Lower("title"))),
        lambda rows: rows.aggregate(total=Sum(F("price") * F("pages"))),
        lambda rows: rows.aggregate(total=Sum(F("price") * 2 + 1)),
        lambda rows: rows.aggregate(mean=Avg(F("rating") * 1.5 + 0.25)),
        lambda rows: rows.aggregate(x=Sum("pages", default=0), y=Sum("rating", default=1.5)),
        lambda rows: rows.filter(pk=99).aggregate(Sum("pages"), y=Sum("price", default=Decimal(0))),
        lambda rows: rows.filter(pk=99).aggregate(x=Max("released", default=None), n=Count("pk")),
        lambda rows: rows.none().aggregate(
            n=Count("pk"), s=Sum("pages"), d=Sum("pages", default=7)
        ),
        lambda rows: rows.aggregate(n=Count(Case(When(pages__gt=80, then=1)))),
        lambda rows: rows.aggregate(
            n=Sum(Case(When(pages__gt=80, then=Value(2)), default=Value(1)))
        ),
        lambda rows: rows.aggregate(n=Sum(Value(1))),
        lambda rows: rows.aggregate(
            n=Avg(Value(1.5)), m=Max(Value("text")), o=Sum(Value(Decimal("1.1")))
        ),
        lambda rows: rows.aggregate(x=Sum("pages") / Count("pk"), y=Sum("pages") * 1.5),
        lambda rows: rows.aggregate(x=Sum("pages") + Value(0.5), y=Max("price") - Min("price")),
        lambda rows: rows.aggregate(x=Avg("price", output_field=FloatField())),
        lambda rows: rows.aggregate(x=Cast(Avg("pages"), IntegerField())),
        lambda rows: rows.aggregate(x=Coalesce(Sum("rating", filter=Q(pk=99)), 0.0)),
        lambda rows: rows.order_by("price")[:3].aggregate(Sum("price")),
        lambda rows: rows.distinct().values("publisher").aggregate(n=Count("publisher")),
        lambda rows: rows.annotate(n=Count("tags")).aggregate(Max("n"), Avg("n")),
        lambda rows: rows.annotate(double=F("pages") * 2).aggregate(Sum("double")),
        lambda rows: rows.values("publisher").annotate(n=Count("pk")).aggregate(Max("n")),
        lambda rows: rows.aggregate(a=Sum("pages"), b=F("a") * 2),
        lambda rows: rows.aggregate(
            n=Count("tags__label", distinct=True, filter=~Q(tags__label="new"))
        ),
        lambda rows: rows.aggregate(x=Max("publisher__founded"), y=Min("authors__name")),
        lambda rows: rows.count(),
        lambda rows: rows.filter(pages__gt=50).distinct("publisher").count(),
        lambda rows: rows.values("publisher__country").distinct().count(),
        lambda rows: rows.order_by("pk")[2:7].count(),
        lambda rows: rows.exists(),
        lambda rows: rows.filter(title="nothing").exists(),
        lambda rows: rows.order_by("pk")[5:6].exists(),
    ]


@cases.reading(Publisher)
def by_group() -> list[Any]:
    return [
        lambda rows: rows.annotate(n=Count("books")),
        lambda rows: rows.annotate(n=Count("books")).filter(n__gt=3),
        lambda rows: rows.annotate(n=Count("books", filter=Q(books__pages__gt=60))).order_by(
            "-n", "name"
        ),
        lambda rows: rows.annotate(s=Sum("books__price"), a=Avg("books__rating")),
        lambda rows: rows.annotate(s=Sum("books__price", default=Decimal("0.5"))).filter(s__lt=100),
        lambda rows: rows.annotate(newest=Max("books__published")).filter(newest__year=2023),
        lambda rows: rows.annotate(newest=Max("books__released")),
        lambda rows: rows.annotate(longest=Max("books__shelf_time")).values("name", "longest"),
        lambda rows: rows.annotate(n=Count("books__tags", distinct=True)),
        lambda rows: rows.values("country").annotate(n=Count("pk")).order_by("country"),
        lambda rows: (
            rows.values("country").annotate(n=Count("books")).filter(n__gte=4).order_by("n")
        ),
        lambda rows: rows.values_list("country").annotate(Min("founded")).order_by("country"),
        lambda rows: (
            rows.annotate(n=Count("books")).values("n").annotate(m=Count("pk")).order_by("n")
        ),
        lambda rows: rows.annotate(x=Sum(F("books__price") * F("books__pages"))),
        lambda rows: rows.annotate(
            x=ExpressionWrapper(Sum("books__price") / Count("books"), DecimalField())
        ).filter(books__isnull=False),
        lambda rows: rows.alias(n=Count("books")).filter(n=0),
        lambda rows: (
            rows.alias(n=Count("books")).order_by("-n", "name").values_list("name", flat=True)
        ),
        lambda rows: (
            rows.annotate(
                old=Case(
                    When(founded__lt=datetime.date(1950, 1, 1), then=Value("old")),
                    default=Value("new"),
                )
            )
            .values("old")
            .annotate(n=Count("pk"))
            .order_by("old")
        ),
        lambda rows: rows.annotate(plus=Value(1)).values("plus").annotate(n=Count("pk")).order_by(),
        lambda rows: (
            rows.annotate(year=ExtractYear("books__published"))
            .values("year")
            .annotate(n=Count("pk"))
            .order_by("year")
        ),
        lambda rows: (
            rows.annotate(month=TruncMonth("books__released"))
            .values("month")
            .annotate(n=Count("books"))
            .order_by("month")
        ),
        lambda rows: (
            rows.filter(books__pages__gt=50).annotate(n=Count("books")).filter(books__rating__gt=1)
        ),
        lambda rows: rows.annotate(n=Count("books")).exclude(n=F("pk")),
        lambda rows: rows.annotate(half=Count("books") / 2.0, twice=Count("books") * 2),
        lambda rows: rows.annotate(total=Coalesce(Sum("books__pages"), Value(0)) + 1).order_by(
            "total"
        ),
        lambda rows: rows.annotate(best=Max("books__rating")).order_by(
            F("best").desc(nulls_last=True)
        ),
        lambda rows: rows.annotate(n=Count("books")).order_by("pk").in_bulk(),
    ]


@cases.reading(Book)
def grouped_by_expressions_with_parameters() -> list[Any]:
    # The same parameter stands in SELECT, GROUP BY and ORDER BY: one expression to the server.
    return [
        lambda rows: (
            rows.annotate(x=F("pages") % 7).values("x").annotate(n=Count("pk")).order_by("x")
        ),
        lambda rows: (
            rows.annotate(x=F("pages") / 10 + 1).values("x").annotate(n=Count("pk")).order_by("-x")
        ),
        lambda rows: (
            rows.annotate(x=Coalesce("rating", 0.5))
            .values("x")
            .annotate(n=Count("pk"))
            .order_by("x")
        ),
        lambda rows: (
            rows.annotate(x=Coalesce("editor__name", Value("nobody")))
            .values("x")
            .annotate(n=Count("pk"))
            .order_by("x")
        ),
        lambda rows: (
            rows.values(x=F("price") * Decimal("1.19")).annotate(n=Count("pk")).order_by("x")
        ),
        lambda rows: (
            rows.annotate(
                x=Case(
                    When(pages__gt=100, then=Value("long")),
                    When(title__contains="%", then=Value("%")),
                    default=Value("short"),
                )
            )
            .values("x")
            .annotate(n=Count("pk"), s=Sum("pages"))
            .order_by("x")
        ),
        lambda rows: (
            rows.annotate(x=Case(When(pages__gt=100, then=1), default=0))
            .values_list("x")
            .annotate(Count("pk"))
            .order_by("x")
        ),
        lambda rows: (
            rows.values("about__langs__0").annotate(n=Count("pk")).order_by("about__langs__0")
        ),
        lambda rows: (
            rows.values("about__isbn__x").annotate(n=Count("pk")).order_by("n", "about__isbn__x")
        ),
        lambda rows: (
            rows.annotate(x=F("published") + datetime.timedelta(days=1))
            .values("x")
            .annotate(n=Count("pk"))
            .order_by("x")
        ),
        lambda rows: (
            rows.annotate(m=TruncMonth("released"))
            .values("m")
            .annotate(n=Count("pk"))
            .filter(n__gte=1)
            .order_by("m")
        ),
        lambda rows: rows.annotate(x=F("pages") % 7).values("x").distinct().order_by("x"),
        lambda rows: (
            rows.annotate(x=Value("a"))
            .values("x", "publisher__country")
            .annotate(n=Count("pk"))
            .order_by("publisher__country")
        ),
        lambda rows: (
            rows.annotate(
                x=Subquery(
                    Publisher.objects.filter(pk=OuterRef("publisher"), name__gt="B").values(
                        "country"
                    )
                )
            )
            .values("x")
            .annotate(n=Count("pk"))
            .order_by("x")
        ),
        lambda rows: (
            rows.annotate(long=Q(pages__gt=100))
            .values("long")
            .annotate(n=Count("pk"))
            .order_by("long")
        ),
    ]


@cases.reading(Book)
def of_postgresql() -> list[Any]:
    return [
        lambda rows: rows.aggregate(x=ArrayAgg("title", order_by="title")),
        lambda rows: rows.aggregate(x=ArrayAgg("pages", distinct=True, order_by="-pages")),
        lambda rows: rows.aggregate(x=ArrayAgg("rating", order_by="pk", filter=Q(pages__gt=50))),
        lambda rows: rows.aggregate(x=ArrayAgg("published", order_by=["published", "pk"])),
        lambda rows: rows.aggregate(
            x=ArrayAgg("released", order_by="pk"), y=ArrayAgg("price", order_by="pk")
        ),
        lambda rows: rows.aggregate(x=ArrayAgg("shelf_time", order_by="pk")),
        lambda rows: rows.aggregate(x=ArrayAgg("pages", filter=Q(pk=99), default=Value([]))),
        lambda rows: rows.aggregate(x=ArrayAgg("pages", filter=Q(pk=99))),
        lambda rows: rows.aggregate(x=StringAgg("title", delimiter="; ", order_by="pk")),
        lambda rows: rows.aggregate(
            x=StringAgg("title", delimiter="'%s", order_by=F("title").desc())
        ),
        lambda rows: rows.aggregate(
            x=StringAgg("publisher__name", delimiter=",", distinct=True, default=Value("-"))
        ),
        lambda rows: rows.aggregate(x=JSONBAgg("about", order_by="pk")),
        lambda rows: rows.aggregate(
            x=JSONBAgg("title", order_by="-pk"), y=JSONBAgg("price", order_by="pk")
        ),
        lambda rows: rows.aggregate(a=BitAnd("pages"), o=BitOr("pages"), x=BitXor("pages")),
        lambda rows: rows.aggregate(x=BoolAnd(Q(pages__gt=10)), y=BoolOr(Q(title__contains="%"))),
        lambda rows: rows.aggregate(a=Corr("rating", "pages"), b=CovarPop("rating", "pages")),
        lambda rows: rows.aggregate(
            a=CovarPop("rating", "pages", sample=True), b=RegrCount("rating", "pages")
        ),
        lambda rows: rows.aggregate(
            a=RegrAvgX("rating", "pages"),
            b=RegrAvgY("rating", "pages"),
            c=RegrR2("rating", "pages"),
        ),
        lambda rows: rows.aggregate(
            a=RegrIntercept("rating", "pages"), b=RegrSlope("rating", "pages")
        ),
        lambda rows: rows.aggregate(
            a=RegrSXX("rating", "pages"), b=RegrSXY("rating", "pages"), c=RegrSYY("rating", "pages")
        ),
        lambda rows: rows.annotate(x=ArrayAgg("tags__label", order_by="tags__label")).order_by(
            "pk"
        ),
        lambda rows: rows.annotate(x=ArrayAgg("tags", order_by="tags__label")).order_by("pk"),
        lambda rows: (
            rows.annotate(x=StringAgg("authors__name", "|", order_by="authors__name"))
            .filter(x__contains="|")
            .order_by("pk")
        ),
    ]


@cases.reading(Everything)
def of_each_type() -> list[Any]:
    return [
        lambda rows: rows.aggregate(Sum("small"), Sum("integer"), Sum("big"), Avg("small")),
        lambda rows: rows.filter(pk__lt=11).aggregate(
            Sum("decimal"), Avg("decimal"), Max("decimal")
        ),
        lambda rows: rows.filter(pk__lt=11).aggregate(
            Sum("float"), Avg("float"), Variance("float")
        ),
        lambda rows: rows.aggregate(
            Sum("money"), Max("money"), Avg("money", output_field=FloatField())
        ),
        lambda rows: rows.aggregate(Max("moment"), Min("moment"), Max("date"), Min("time")),
        lambda rows: rows.aggregate(Max("ip"), Min("ip")),
        lambda rows: rows.aggregate(Sum("duration"), Avg("duration", output_field=DurationField())),
        lambda rows: rows.aggregate(Max("float"), Min("float")),
        lambda rows: (
            rows.values("colour").annotate(n=Count("pk"), top=Max("mood")).order_by("colour")
        ),
        lambda rows: (
            rows.values("boolean", "level").annotate(Sum("positive")).order_by("boolean", "level")
        ),
        lambda rows: rows.values("loud").annotate(n=Count("pk")).order_by("n", "loud"),
    ]


@cases.reading(Author)
def over_several_tables() -> list[Any]:
    return [
        lambda rows: rows.annotate(n=Count("books"), s=Sum("authorship__share")).order_by("pk"),
        lambda rows: (
            rows.annotate(n=Count("books__tags", distinct=True)).filter(n__gt=2).order_by("pk")
        ),
        lambda rows: (
            rows.annotate(avg=Avg("books__price")).order_by("-avg", "pk").values("name", "avg")
        ),
        lambda rows: (
            rows.annotate(m=Max("books__publisher__founded"))
            .values_list("m", flat=True)
            .order_by("pk")
        ),
        lambda rows: rows.annotate(
            n=Subquery(
                Book.objects.filter(authors=OuterRef("pk"))
                .order_by()
                .values("authors")
                .annotate(c=Count("*"))
                .values("c")
            )
        ).order_by("pk"),
    ]


@cases.failing(Book)
def aggregates_that_fail() -> list[Any]:
    return [
        lambda rows: rows.aggregate(Sum("title")),
        lambda rows: rows.aggregate(Sum("nothing")),
        lambda rows: rows.aggregate(Sum(F("price") / 0)),
        lambda rows: rows.aggregate(x=Sum(Value("a") + F("pages"))),
        lambda rows: rows.aggregate(n=Count("pk"), m=Sum("n")),
        lambda rows: rows.aggregate(Sum("pages") + 1),
        lambda rows: rows.annotate(pages=Count("tags")),
        lambda rows: rows.aggregate(x=Avg("about")),
    ]
