"""Dates and moments: their parts, what they are cut to, and in which time zone."""

from __future__ import annotations

import datetime
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import (
    Count,
    DateField,
    DateTimeField,
    DurationField,
    ExpressionWrapper,
    F,
    Max,
    OuterRef,
    Subquery,
    TimeField,
    Value,
)
from django.db.models import functions as f

from tests.differential.case import Cases
from tests.differential.models import Book, Everything, Person, Publisher
from tests.differential.worlds import aware_only, moment

cases = Cases()

KATHMANDU = ZoneInfo("Asia/Kathmandu")
NEW_YORK = ZoneInfo("America/New_York")
FIXED = datetime.timezone(timedelta(hours=-3, minutes=-30))
PARTS = ["Year", "IsoYear", "Quarter", "Month", "Week", "WeekDay", "IsoWeekDay", "Day"]
TIMES = ["Hour", "Minute", "Second"]


@cases.reading(Everything)
def parts() -> list[Any]:
    def of(name: str, column: str) -> Any:
        part = getattr(f, f"Extract{name}")(column)
        return lambda rows: rows.order_by("pk").annotate(x=part).values_list("pk", "x")

    return (
        [of(name, "moment") for name in PARTS + TIMES]
        + [of(name, "date") for name in PARTS]
        + [of(name, "time") for name in TIMES]
        + [of(name, "duration") for name in ["Day", *TIMES]]
    )


@cases.reading(Everything)
def cuts() -> list[Any]:
    def of(name: str, column: str, **named: Any) -> Any:
        cut = getattr(f, f"Trunc{name}")(column, **named)
        return lambda rows: rows.filter(pk__lt=11).order_by("pk").annotate(x=cut).values("x")

    dates = ["Year", "Quarter", "Month", "Week", "Day"]
    return (
        [of(name, "moment") for name in [*dates, *TIMES, "Date", "Time"]]
        + [of(name, "date") for name in dates]
        + [of(name, "time") for name in TIMES]
        + [of(name, "moment", output_field=DateField()) for name in dates]
        + [of("Hour", "moment", output_field=TimeField())]
        + [of("Date", "date")]
    )


@cases.reading(Everything)
def in_other_zones() -> list[Any]:
    def of(expression: Any) -> Any:
        return lambda rows: aware_only(
            rows.filter(pk__lt=11).order_by("pk").annotate(x=expression).values("x")
        )

    zones = [KATHMANDU, NEW_YORK, FIXED, datetime.UTC]
    return (
        [of(f.TruncDay("moment", tzinfo=zone)) for zone in zones]
        + [of(f.ExtractHour("moment", tzinfo=zone)) for zone in zones]
        + [of(f.TruncDate("moment", tzinfo=zone)) for zone in zones]
        + [of(f.TruncTime("moment", tzinfo=zone)) for zone in zones]
        + [of(f.TruncHour("moment", tzinfo=NEW_YORK)), of(f.ExtractWeekDay("moment", tzinfo=FIXED))]
    )


@cases.reading(Everything)
def lookups() -> list[Any]:
    return [
        lambda rows: rows.filter(moment__year=2024).order_by("pk"),
        lambda rows: rows.filter(moment__year__gte=2024).order_by("pk"),
        lambda rows: rows.filter(moment__year__in=[2024, 9998]).order_by("pk"),
        lambda rows: rows.filter(moment__iso_year=2024).order_by("pk"),
        lambda rows: rows.filter(moment__month=3).order_by("pk"),
        lambda rows: rows.filter(moment__day__gt=30).order_by("pk"),
        lambda rows: rows.filter(moment__quarter=2).order_by("pk"),
        lambda rows: rows.filter(moment__week=13).order_by("pk"),
        lambda rows: rows.filter(moment__week_day=1).order_by("pk"),
        lambda rows: rows.filter(moment__iso_week_day__lte=3).order_by("pk"),
        lambda rows: rows.filter(moment__hour__range=(1, 9)).order_by("pk"),
        lambda rows: rows.filter(moment__minute=15, moment__second__in=[1, 2]).order_by("pk"),
        lambda rows: rows.filter(moment__date=datetime.date(2024, 3, 31)).order_by("pk"),
        lambda rows: rows.filter(moment__date="2024-03-31").order_by("pk"),
        lambda rows: rows.filter(moment__date__gte=datetime.date(2024, 4, 1)).order_by("pk"),
        lambda rows: rows.filter(moment__date__range=("2024-03-30", "2024-03-31")).order_by("pk"),
        lambda rows: rows.filter(moment__time__lt=datetime.time(6)).order_by("pk"),
        lambda rows: rows.filter(moment__time="22:15:00"),
        lambda rows: rows.filter(date__year=2024).order_by("pk"),
        lambda rows: rows.filter(date__year__lt=2024).order_by("pk"),
        lambda rows: rows.filter(date__month=2, date__day=29).order_by("pk"),
        lambda rows: rows.filter(date__week_day__in=[1, 7]).order_by("pk"),
        lambda rows: rows.filter(time__hour=5).order_by("pk"),
        lambda rows: rows.filter(time__minute__gte=7).order_by("pk"),
        lambda rows: rows.filter(time__second=F("time__minute") * 3).order_by("pk"),
        lambda rows: rows.filter(moment__hour=F("time__hour")).order_by("pk"),
        lambda rows: rows.filter(moment__date=F("date") + timedelta(days=36)).order_by("pk"),
        lambda rows: rows.filter(
            moment__gte=moment(2024, 3, 31), moment__lt=moment(2024, 4, 1)
        ).order_by("pk"),
        lambda rows: rows.filter(moment__contains="2024-04").order_by("pk"),
        lambda rows: rows.filter(date__startswith="2024-02").order_by("pk"),
        lambda rows: rows.filter(date__regex=r"-2[89]$").order_by("pk"),
        lambda rows: rows.exclude(moment__year=2024).order_by("pk"),
        lambda rows: rows.values_list("moment__year", "date__month", "time__hour").order_by("pk"),
        lambda rows: rows.order_by("moment__hour", "pk").values_list("pk", "moment__hour"),
    ]


@cases.reading(Book)
def dates_and_datetimes() -> list[Any]:
    return [
        lambda rows: rows.dates("published", "year"),
        lambda rows: rows.dates("published", "month"),
        lambda rows: rows.dates("published", "week", order="DESC"),
        lambda rows: rows.dates("published", "day")[1:3],
        lambda rows: rows.filter(pages__gt=100).dates("published", "month"),
        lambda rows: rows.dates("publisher__founded", "year"),
        lambda rows: rows.datetimes("released", "year"),
        lambda rows: rows.datetimes("released", "month"),
        lambda rows: rows.datetimes("released", "day", order="DESC"),
        lambda rows: rows.datetimes("released", "hour"),
        lambda rows: aware_only(rows.datetimes("released", "day", tzinfo=KATHMANDU)),
        lambda rows: aware_only(rows.datetimes("released", "hour", tzinfo=FIXED)),
        lambda rows: rows.dates("published", "year").count(),
        lambda rows: rows.latest(),
        lambda rows: rows.latest("released"),
        lambda rows: rows.earliest("published", "-pk"),
        lambda rows: rows.earliest("-price"),
        lambda rows: rows.values_list("released", flat=True).order_by("pk"),
        lambda rows: (
            rows.values(day=f.TruncDay("released")).annotate(n=Count("pk")).order_by("day")
        ),
        lambda rows: rows.annotate(x=Max(f.TruncMonth("released"))).order_by("pk").values("x"),
    ]


@cases.reading(Book)
def computed() -> list[Any]:
    def of(expression: Any) -> Any:
        return lambda rows: rows.order_by("pk").annotate(x=expression).values_list("pk", "x")

    def wrapped(expression: Any, field: Any) -> Any:
        return of(ExpressionWrapper(expression, field))

    return [
        of(F("released") + timedelta(days=180)),
        wrapped(F("published") + timedelta(hours=36), DateTimeField()),
        wrapped(F("published") + timedelta(days=2), DateField()),
        of(F("released") + F("shelf_time")),
        of(F("released") - F("released")),
        of(F("published") - F("publisher__founded")),
        wrapped(F("released") - F("published"), DurationField()),
        of(Value(timedelta(days=3)) + F("shelf_time")),
        wrapped(Value(datetime.date(2024, 1, 31)) + F("shelf_time"), DateTimeField()),
        of(f.TruncDay(F("released") + timedelta(hours=1))),
        of(f.ExtractDay(F("released") - timedelta(hours=3))),
        of(f.TruncMonth(Subquery(Person.objects.filter(pk=OuterRef("editor")).values("joined")))),
        of(f.Cast("released", DateField())),
        of(f.Cast(f.TruncDate("released"), DateTimeField())),
        of(f.Extract("released", "epoch")),
        of(f.Extract("published", "doy")),
        of(f.Extract("shelf_time", "epoch")),
        of(f.Trunc("released", "month", output_field=DateField())),
        of(f.Greatest("released", f.Cast("published", DateTimeField()))),
        lambda rows: rows.filter(released__gt=F("published")).order_by("pk"),
        lambda rows: rows.filter(released__date=F("published")).order_by("pk"),
        lambda rows: rows.filter(released__gte=Value(moment(2023, 6, 1))).order_by("pk"),
        lambda rows: rows.filter(published__gte=moment(2023, 6, 1).date()).order_by("pk"),
        lambda rows: rows.filter(shelf_time__lt=F("released") - Value(moment(2023, 1, 1))).order_by(
            "pk"
        ),
        lambda rows: rows.filter(
            released__range=(F("released") - timedelta(1), moment(2023, 7, 1))
        ).order_by("pk"),
    ]


@cases.reading(Publisher)
def by_period() -> list[Any]:
    return [
        lambda rows: rows.filter(books__released__month__gt=6).distinct(),
        lambda rows: rows.filter(founded__year__lt=F("books__published__year") - 60).distinct(),
        lambda rows: rows.annotate(x=Max("books__released__date")),
        lambda rows: rows.annotate(x=f.ExtractYear("founded") * 10 + 1).values("x"),
        lambda rows: rows.dates("founded", "year", order="DESC"),
    ]


@cases.failing(Book)
def periods_that_fail() -> list[Any]:
    return [
        lambda rows: rows.dates("released", "hour"),
        lambda rows: rows.dates("title", "year"),
        lambda rows: rows.datetimes("published", "year"),
        lambda rows: rows.filter(released__year="x"),
        lambda rows: rows.filter(published="not a date"),
        lambda rows: rows.filter(released="2024-13-45"),
        lambda rows: rows.filter(shelf_time="long").order_by("pk"),
        lambda rows: rows.annotate(x=f.TruncHour("published")).order_by("pk"),
        lambda rows: rows.annotate(x=f.ExtractHour("published")).order_by("pk"),
        lambda rows: rows.annotate(x=F("published") + 1).order_by("pk"),
        lambda rows: rows.annotate(x=F("released") + F("released")).order_by("pk"),
        lambda rows: rows.annotate(x=F("published") + timedelta(days=10**7)).order_by("pk"),
        lambda rows: rows.order_by("pk").latest("nothing"),
    ]
