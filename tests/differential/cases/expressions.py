"""Expressions: literals without a type, arithmetic, conditions, subqueries, windows."""

from __future__ import annotations

import datetime
import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db.models import (
    Avg,
    BooleanField,
    Case,
    CharField,
    Count,
    DateField,
    DateTimeField,
    DecimalField,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    FloatField,
    Func,
    IntegerField,
    JSONField,
    Max,
    Min,
    OuterRef,
    Q,
    RowRange,
    Subquery,
    Sum,
    TextField,
    TimeField,
    Value,
    ValueRange,
    When,
    Window,
    WindowFrameExclusion,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import (
    Cast,
    Coalesce,
    Concat,
    CumeDist,
    DenseRank,
    FirstValue,
    Lag,
    LastValue,
    Lead,
    Length,
    Lower,
    NthValue,
    Ntile,
    PercentRank,
    Rank,
    RowNumber,
    TruncMonth,
    Upper,
)
from django.db.models.lookups import Exact, GreaterThan, IsNull, LessThan

from tests.differential.case import Cases
from tests.differential.models import (
    Author,
    Book,
    Category,
    Edition,
    Everything,
    Person,
    Publisher,
    Tag,
)
from tests.differential.worlds import moment

cases = Cases()


@cases.reading(Publisher)
def literals() -> list[Any]:
    def of(value: Any, **named: Any) -> Any:
        return lambda rows: rows.annotate(x=Value(value, **named)).values_list("name", "x")

    return [
        of(1),
        of(-1),
        of(2**31),
        of(2**63),
        of(-(2**80)),
        of(1.5),
        of(1e300),
        of(-0.0),
        of(float("inf")),
        of("text"),
        of("5"),
        of("it's 100% \\ $1"),
        of(""),
        of(True),
        of(None, output_field=IntegerField()),
        of(None, output_field=CharField()),
        of(Decimal("1.10")),
        of(Decimal("1E+5")),
        of(datetime.date(2024, 2, 29)),
        of(datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC)),
        of(datetime.time(12, 30)),
        of(timedelta(days=1, microseconds=5)),
        of(timedelta(seconds=-1)),
        of(uuid.UUID(int=7)),
        of(b"\x00\xff"),
        of([1, 2, 3], output_field=ArrayField(IntegerField())),
        of(["a", "b'c"], output_field=ArrayField(CharField())),
        of({"a": [1, None]}, output_field=JSONField()),
        of(None, output_field=JSONField()),
        of("x", output_field=TextField()),
        of(5, output_field=CharField()),
        of("5", output_field=IntegerField()),
        of(5, output_field=FloatField()),
        of(1.25, output_field=DecimalField(max_digits=5, decimal_places=3)),
    ]


@cases.reading(Book)
def conditions() -> list[Any]:
    return [
        lambda rows: rows.order_by("pk").annotate(
            x=Case(When(pages__gt=100, then=Value("long")), default=Value("short"))
        ),
        lambda rows: rows.order_by("pk").annotate(x=Case(When(pages__gt=100, then=1), default=2)),
        lambda rows: rows.order_by("pk").annotate(
            x=Case(When(pages__gt=100, then=1.5), default=2.5)
        ),
        lambda rows: rows.order_by("pk").annotate(
            x=Case(When(pages__gt=100, then=Value(None)), default=Value(1))
        ),
        lambda rows: rows.order_by("pk").annotate(x=Case(When(pages__gt=100, then=Value("a")))),
        lambda rows: rows.order_by("pk").annotate(
            x=Case(When(pages__gt=100, then=F("price")), default=Decimal(0))
        ),
        lambda rows: rows.order_by("pk").annotate(
            x=Case(When(pages__gt=100, then="title"), default=Lower("title"))
        ),
        lambda rows: rows.order_by("pk").annotate(
            x=Case(
                When(pages__gt=100, then=F("published")), default=Value(datetime.date(2000, 1, 1))
            )
        ),
        lambda rows: rows.order_by("pk").annotate(
            x=Case(When(pages__gt=100, then=F("released")), default=Value(moment(2000, 1, 1)))
        ),
        lambda rows: rows.order_by("pk").annotate(
            x=Case(When(pages__gt=100, then=Value(timedelta(1))), default=F("shelf_time"))
        ),
        lambda rows: rows.order_by("pk").annotate(
            x=Case(When(title="The Pool", then=True), default=False)
        ),
        lambda rows: rows.order_by("pk").annotate(
            x=Case(
                When(Q(pages__gt=100) | Q(title__icontains="%"), then=Value(b"\x00")),
                default=Value(b"\x01"),
            )
        ),
        lambda rows: rows.order_by("pk").annotate(
            x=Case(
                When(publisher__country="US", then=Value("us")),
                When(publisher=None, then=Value("?")),
                default=F("publisher__country"),
            )
        ),
        lambda rows: rows.filter(
            Case(When(pages__gt=100, then=True), default=False, output_field=BooleanField())
        ).order_by("pk"),
        lambda rows: rows.order_by(Case(When(title="The Pool", then=0), default=1), "pk"),
        lambda rows: rows.order_by(
            Case(When(title="The Pool", then=Value("z")), default=Value("a")).desc(), "pk"
        ),
        lambda rows: rows.filter(pages=Case(When(pk=1, then=51), default=101)).order_by("pk"),
        lambda rows: rows.filter(
            title=Case(When(pk=2, then=Value("The Pool")), default=Value("-"))
        ).order_by("pk"),
        lambda rows: (
            rows.annotate(x=Case(When(pk__in=[], then=Value("none")), default=Value("all")))
            .order_by("pk")
            .values("x")
        ),
        lambda rows: (
            rows.annotate(x=Case(When(~Q(pk__in=[]), then=Value("all")), default=Value("none")))
            .order_by("pk")
            .values("x")
        ),
        lambda rows: rows.annotate(x=Q(pages__gt=100)).order_by("pk").values_list("x", flat=True),
        lambda rows: (
            rows.annotate(x=ExpressionWrapper(Q(pages__gt=100) & ~Q(pk=1), BooleanField()))
            .filter(x=True)
            .order_by("pk")
        ),
        lambda rows: (
            rows.annotate(x=GreaterThan(F("pages"), 100), y=IsNull(F("rating"), True))
            .order_by("pk")
            .values("x", "y")
        ),
        lambda rows: rows.filter(GreaterThan(F("pages"), F("price") * 5)).order_by("pk"),
        lambda rows: rows.filter(LessThan(Length("title"), 8), Exact(F("pages") % 2, 1)).order_by(
            "pk"
        ),
        lambda rows: rows.filter(
            Q(pages__gt=100) ^ Q(price__gt=20) ^ Q(rating__isnull=True)
        ).order_by("pk"),
        lambda rows: rows.filter(~(Q(pages__gt=100) & ~Q(price__gt=20)) | Q(pk=1)).order_by("pk"),
        lambda rows: (
            rows.filter(Q()).filter(~Q(pk__in=[1, 2]), Q(Q(pk=3) | Q(pk=4))).order_by("pk")
        ),
        lambda rows: rows.filter(Q(pk=1) | Q(pk__in=[])).order_by("pk"),
    ]


@cases.reading(Book)
def arithmetic() -> list[Any]:
    def of(expression: Any, **named: Any) -> Any:
        wrapped = ExpressionWrapper(expression, **named) if named else expression
        return lambda rows: rows.order_by("pk").annotate(x=wrapped).values_list("pk", "x")

    return [
        of(F("pages") + 1),
        of(F("pages") - 1),
        of(F("pages") * 2),
        of(F("pages") / 2),
        of(F("pages") % 7),
        of(F("pages") ** 2),
        of(-F("pages")),
        of(F("pages").bitand(12)),
        of(F("pages").bitor(12)),
        of(F("pages").bitxor(12)),
        of(F("pages").bitleftshift(2)),
        of(F("pages").bitrightshift(1)),
        of(F("pages") + 1.5),
        of(F("pages") / 2.0),
        of(F("pages") + 2**40),
        of(1 + F("pages")),
        of(1.0 / F("pages")),
        of(F("price") * 2),
        of(F("price") * Decimal("1.19")),
        of(F("price") / 3),
        of(F("price") * 1.5, output_field=FloatField()),
        of(F("price") * 1.5, output_field=DecimalField(max_digits=9, decimal_places=3)),
        of(F("price") + F("pages")),
        of(F("rating") * 2),
        of(F("rating") + 0.1),
        of(F("rating") / 3),
        of(F("rating") ** 0.5),
        of(F("rating") * F("pages"), output_field=FloatField()),
        of(Value(1) + Value(2)),
        of(Value(1) / Value(2)),
        of(Value(1.0) / 3),
        of(Value("a"), output_field=TextField()),
        of(F("pages") + None, output_field=IntegerField()),
        of(F("shelf_time") * 2, output_field=DurationField()),
        of(F("shelf_time") / 2, output_field=DurationField()),
        of(F("shelf_time") * 1.5, output_field=DurationField()),
        of(F("shelf_time") + timedelta(hours=1)),
        of(F("shelf_time") - F("shelf_time")),
        of(F("published") + timedelta(days=1)),
        of(F("published") - timedelta(days=1), output_field=DateField()),
        of(F("published") + F("shelf_time")),
        of(F("published") - datetime.date(2023, 1, 1), output_field=DurationField()),
        of(Value(datetime.date(2024, 1, 1)) - F("published")),
        of(F("released") + timedelta(days=1, seconds=5)),
        of(F("released") - F("shelf_time")),
        of(F("released") - Value(moment(2023, 1, 1))),
        of(Value(moment(2024, 1, 1)) - F("released"), output_field=DurationField()),
        of(F("released") - F("published"), output_field=DurationField()),
        of(F("published") - F("publisher__founded")),
        of(Value(datetime.time(12)), output_field=TimeField()),
        of(Value(moment(2024, 1, 1)) + timedelta(days=1), output_field=DateTimeField()),
        of(Value(datetime.date(2024, 1, 1)) + timedelta(days=1)),
        of(Coalesce(F("rating"), F("pages"), output_field=FloatField()) + 1),
        lambda rows: rows.filter(pages__gt=F("price") * 4).order_by("pk"),
        lambda rows: rows.filter(pages=F("pk") * 50 % 170 + 1).order_by("pk"),
        lambda rows: rows.filter(
            published__gt=F("publisher__founded") + timedelta(days=30000)
        ).order_by("pk"),
        lambda rows: rows.filter(released__lt=F("released") + F("shelf_time")).order_by("pk"),
        lambda rows: rows.filter(
            shelf_time__gt=timedelta(days=10) + Value(timedelta(hours=3))
        ).order_by("pk"),
        lambda rows: rows.filter(price__range=(F("pages") / 10, F("pages") / 2)).order_by("pk"),
        lambda rows: rows.filter(pages__in=[F("pk") + 50, 101, F("pages")]).order_by("pk"),
        lambda rows: rows.filter(rating__gt=F("pages") / 30.0).order_by("pk"),
        lambda rows: rows.order_by((F("pages") % 10).desc(), "pk"),
        lambda rows: rows.order_by(F("rating").asc(nulls_first=True), F("pages") * -1),
    ]


@cases.reading(Book)
def subqueries() -> list[Any]:
    newest = Book.objects.filter(publisher=OuterRef("publisher")).order_by("-published", "-pk")
    return [
        lambda rows: rows.filter(publisher__in=Publisher.objects.filter(country="US")).order_by(
            "pk"
        ),
        lambda rows: rows.filter(
            publisher__in=Publisher.objects.filter(country="US").values("pk")
        ).order_by("pk"),
        lambda rows: rows.filter(
            publisher__country__in=Publisher.objects.filter(name__gt="B").values("country")
        ).order_by("pk"),
        lambda rows: rows.exclude(publisher__in=Publisher.objects.filter(country="US")).order_by(
            "pk"
        ),
        lambda rows: rows.filter(pk=Subquery(newest.values("pk")[:1])).order_by("pk"),
        lambda rows: rows.annotate(x=Subquery(newest.values("title")[:1])).order_by("pk"),
        lambda rows: rows.annotate(x=Subquery(newest.values("released")[:1])).order_by("pk"),
        lambda rows: (
            rows.annotate(x=Subquery(newest.values("about")[:1])).order_by("pk").values("x")
        ),
        lambda rows: rows.annotate(x=Subquery(newest.values("price")[:1]) - F("price")).order_by(
            "pk"
        ),
        lambda rows: rows.annotate(
            x=Exists(Author.objects.filter(books=OuterRef("pk"), name="Ada"))
        ).order_by("pk"),
        lambda rows: rows.filter(
            Exists(Tag.objects.filter(books=OuterRef("pk"), label__startswith="n"))
        ).order_by("pk"),
        lambda rows: rows.filter(~Exists(Tag.objects.filter(books=OuterRef("pk")))).order_by("pk"),
        lambda rows: rows.filter(Exists(Tag.objects.none())).order_by("pk"),
        lambda rows: rows.filter(~Exists(Tag.objects.none())).order_by("pk"),
        lambda rows: rows.filter(
            Q(Exists(Tag.objects.filter(books=OuterRef("pk")))) | Q(pages__gt=120)
        ).order_by("pk"),
        lambda rows: rows.annotate(
            x=Case(
                When(Exists(Edition.objects.filter(book=OuterRef("pk"))), then=Value("yes")),
                default=Value("no"),
            )
        ).order_by("pk"),
        lambda rows: rows.annotate(
            x=Subquery(
                Edition.objects.filter(book=OuterRef("pk"))
                .values("book")
                .annotate(s=Sum("printed"))
                .values("s")
            )
        ).order_by("pk"),
        lambda rows: rows.annotate(
            x=Coalesce(
                Subquery(
                    Edition.objects.filter(book=OuterRef("pk"))
                    .order_by("-number")
                    .values("printed")[:1]
                ),
                0,
            )
        ).order_by("-x", "pk"),
        lambda rows: rows.filter(
            pages__gt=Subquery(
                Book.objects.values("publisher")
                .annotate(a=Avg("pages"))
                .order_by("a")
                .values("a")[:1]
            )
        ).order_by("pk"),
        lambda rows: rows.filter(
            pk__in=Book.objects.filter(pages__gt=60).order_by("-pages")[:3]
        ).order_by("pk"),
        lambda rows: rows.filter(pk__in=Book.objects.none()).order_by("pk"),
        lambda rows: (
            rows.annotate(
                x=Exists(Person.objects.filter(pk=OuterRef("editor__mentor"), active=True))
            )
            .filter(x=True)
            .order_by("pk")
        ),
        lambda rows: (
            rows.annotate(
                deep=Exists(
                    Publisher.objects.filter(
                        Exists(
                            Book.objects.filter(
                                publisher=OuterRef("pk"), pages__lt=OuterRef(OuterRef("pages"))
                            )
                        ),
                        pk=OuterRef("publisher"),
                    )
                )
            )
            .order_by("pk")
            .values_list("pk", "deep")
        ),
        lambda rows: rows.filter(
            category__in=Category.objects.filter(parent__in=Category.objects.filter(name="all"))
        ).order_by("pk"),
        lambda rows: (
            rows.values(x=Subquery(newest.values("pages")[:1]))
            .annotate(n=Count("pk"))
            .order_by("x")
        ),
        lambda rows: rows.order_by(
            Subquery(Publisher.objects.filter(pk=OuterRef("publisher")).values("name")), "pk"
        ),
        lambda rows: rows.annotate(
            x=RawSQL(
                "SELECT count(*) FROM differential_edition e"
                " WHERE e.book_id = differential_book.id AND e.number > %s",
                (1,),
            )
        ).order_by("pk"),
        lambda rows: rows.filter(
            pk__in=RawSQL("SELECT book_id FROM differential_cover WHERE colour = %s", ("red",))
        ).order_by("pk"),
        lambda rows: (
            rows.annotate(x=Func(F("pages"), Value(7), function="mod", output_field=IntegerField()))
            .order_by("pk")
            .values("x")
        ),
        lambda rows: (
            rows.annotate(
                x=Func(
                    F("title"), Value("o"), Value("0"), function="replace", output_field=CharField()
                )
            )
            .order_by("pk")
            .values("x")
        ),
        lambda rows: (
            rows.annotate(
                x=Func(
                    Value("%s %%"),
                    function="upper",
                    template="%(function)s(%(expressions)s || '%%%%')",
                    output_field=CharField(),
                )
            )
            .order_by("pk")
            .values("x")
        ),
        lambda rows: (
            rows.annotate(
                x=Concat("title", Value(" ("), "pages", Value(")"), output_field=CharField())
            )
            .order_by("pk")
            .values("x")
        ),
        lambda rows: (
            rows.annotate(
                x=Upper(Subquery(Publisher.objects.filter(pk=OuterRef("publisher")).values("name")))
            )
            .filter(x__startswith="A")
            .order_by("pk")
        ),
    ]


@cases.reading(Book)
def windows() -> list[Any]:
    def over(expression: Any, **named: Any) -> Any:
        window = Window(expression, **named)
        return lambda rows: rows.annotate(x=window).order_by("pk").values_list("pk", "x")

    by = {"partition_by": "publisher", "order_by": ["pages", "pk"]}
    return [
        over(RowNumber(), order_by="pk"),
        over(Rank(), **by),
        over(DenseRank(), partition_by=["publisher", "category"], order_by=F("pages").desc()),
        over(PercentRank(), order_by="pages"),
        over(CumeDist(), order_by="pages"),
        over(Ntile(3), order_by="pk"),
        over(Lag("title"), **by),
        over(Lag("title", 2, default=Value("none")), **by),
        over(Lead("pages", offset=1, default=0), **by),
        over(Lead("released"), **by),
        over(FirstValue("price"), **by),
        over(LastValue("price"), **by),
        over(NthValue("title", 2), **by),
        over(Sum("pages"), **by),
        over(Avg("rating"), partition_by="publisher"),
        over(Count("pk"), partition_by=F("pages") % 3),
        over(Max("published"), order_by=["publisher", "pk"], frame=RowRange(start=-1, end=1)),
        over(Sum("pages"), order_by="pk", frame=RowRange(start=None, end=0)),
        over(
            Sum("pages"),
            order_by="pk",
            frame=RowRange(start=-2, end=2, exclusion=WindowFrameExclusion.CURRENT_ROW),
        ),
        over(Sum("pages"), order_by="pk", frame=ValueRange(start=None, end=0)),
        over(Sum("pages"), order_by=TruncMonth("published")),
        over(Sum(F("price") * Decimal("1.5")), **by),
        lambda rows: rows.annotate(r=Window(RowNumber(), **by)).filter(r=1).order_by("pk"),
        lambda rows: (
            rows.annotate(r=Window(Rank(), **by))
            .filter(r__lte=2, pages__gt=20)
            .order_by("pk")
            .values("pk", "r")
        ),
        lambda rows: (
            rows.annotate(r=Window(RowNumber(), order_by="pk"))
            .filter(Q(r__gt=3) & Q(r__lt=7))
            .order_by("pk")
        ),
        lambda rows: (
            rows.annotate(d=F("pages") - Window(Avg("pages"), partition_by="publisher"))
            .order_by("pk")
            .values("d")
        ),
        lambda rows: rows.order_by(Window(RowNumber(), order_by=[F("price").desc(), "pk"]), "pk"),
        lambda rows: (
            rows.annotate(n=Count("tags"))
            .annotate(r=Window(Rank(), order_by=F("n").desc()))
            .order_by("pk")
            .values("n", "r")
        ),
    ]


@cases.reading(Everything)
def nulls_and_mixtures() -> list[Any]:
    return [
        lambda rows: (
            rows.annotate(x=Coalesce("small", "integer", Value(0))).order_by("pk").values("x")
        ),
        lambda rows: (
            rows.annotate(x=Coalesce("char", Cast("integer", CharField()), Value("?")))
            .order_by("pk")
            .values("x")
        ),
        lambda rows: (
            rows.annotate(x=Concat("char", Value("/"), "slug", output_field=TextField()))
            .order_by("pk")
            .values("x")
        ),
        lambda rows: rows.filter(char=Value("alpha")).order_by("pk"),
        lambda rows: rows.filter(integer=Value("1000")),
        lambda rows: rows.filter(float__gt=F("small")).order_by("pk"),
        lambda rows: rows.filter(decimal__gt=F("integer") / 1000.0).order_by("pk"),
        lambda rows: rows.filter(moment__gt=F("date")).order_by("pk"),
        lambda rows: rows.filter(moment__date=F("date")).order_by("pk"),
        lambda rows: (
            rows.annotate(x=Max("float", filter=Q(float__lt=5))).filter(x__gt=0).order_by("pk")
        ),
        lambda rows: rows.annotate(x=Min(Value(5))).order_by("pk").values("x"),
        lambda rows: (
            rows.filter(pk__lte=10).annotate(x=F("date") + F("duration")).order_by("pk").values("x")
        ),
        lambda rows: (
            rows.filter(pk__lte=10)
            .annotate(x=F("moment") - timedelta(days=1))
            .order_by("pk")
            .values("x")
        ),
        lambda rows: (
            rows.filter(pk__lte=10)
            .annotate(x=ExpressionWrapper(F("time") + timedelta(minutes=90), TimeField()))
            .order_by("pk")
            .values("x")
        ),
        lambda rows: (
            rows.filter(pk__lte=10)
            .annotate(x=F("time") - Value(datetime.time(1)))
            .order_by("pk")
            .values("x")
        ),
        lambda rows: rows.filter(boolean=Q(integer__gt=0)).order_by("pk"),
    ]
