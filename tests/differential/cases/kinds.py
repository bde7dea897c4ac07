"""Every type of field: what comes out, and every look-up of each."""

from __future__ import annotations

import datetime
import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models import F, Q, Value
from django.db.models.functions import Cast, Coalesce

from tests.differential.case import Cases
from tests.differential.models import Colour, Everything, Level, Marked, Money, Odd, Percent
from tests.differential.models.kinds import Mood
from tests.differential.worlds import moment

cases = Cases()

FIELDS = [field.name for field in Everything._meta.fields]


@cases.reading(Everything)
def values_of_each_field() -> list[Any]:
    def of(name: str) -> Any:
        return lambda rows: rows.order_by("pk").values_list(name, flat=True)

    return [of(name) for name in FIELDS]


@cases.reading(Everything)
def order_by_each_field() -> list[Any]:
    def by(name: str) -> Any:
        return lambda rows: rows.order_by(F(name).desc(nulls_last=True), "pk").only(name)

    return [by(name) for name in FIELDS if name not in {"json", "django_json", "own_json"}] + [
        lambda rows: rows.order_by(F("json").asc(nulls_first=True), "pk")
    ]


@cases.reading(Everything)
def null_and_not_null() -> list[Any]:
    def of(name: str) -> Any:
        return lambda rows: (
            rows.filter(**{f"{name}__isnull": True}) | rows.filter(**{name: None})
        ).order_by("pk")

    return [of(name) for name in FIELDS if "json" not in name]


@cases.reading(Everything)
def whole_instances() -> list[Any]:
    return [
        lambda rows: rows.all(),
        lambda rows: rows.order_by("pk"),
        lambda rows: rows.order_by("-pk"),
        lambda rows: rows.order_by("char", "-pk")[2:5],
        lambda rows: rows.order_by("pk").values(),
        lambda rows: rows.order_by("pk").values_list(),
        lambda rows: rows.order_by("?").count(),
        lambda rows: rows.get(pk=3),
        lambda rows: rows.get(pk="3"),
        lambda rows: rows.filter(pk__in=["1", 2, 3.0]).order_by("pk"),
    ]


@cases.reading(Everything)
def numbers() -> list[Any]:
    return [
        lambda rows: rows.filter(integer=1000),
        lambda rows: rows.filter(integer="1000"),
        lambda rows: rows.filter(integer=1000.0),
        lambda rows: rows.filter(integer__gt=0.5).order_by("pk"),
        lambda rows: rows.filter(integer__lte="0").order_by("pk"),
        lambda rows: rows.filter(small__in=[1, "8", 15.0]).order_by("pk"),
        lambda rows: rows.filter(small=-32768),
        lambda rows: rows.filter(small=99999),
        lambda rows: rows.filter(small__lt=99999).order_by("pk"),
        lambda rows: rows.filter(small__range=(-40000, 5)).order_by("pk"),
        lambda rows: rows.filter(integer__gt=2**31).order_by("pk"),
        lambda rows: rows.filter(integer__lt=2**40).order_by("pk"),
        lambda rows: rows.exclude(integer__gte=-(2**70)).order_by("pk"),
        lambda rows: rows.filter(big=2**63 - 1),
        lambda rows: rows.filter(big__gt=2**63),
        lambda rows: rows.filter(big__in=[2**63 - 1, 2**64, -(2**63)]).order_by("pk"),
        lambda rows: rows.filter(positive__gte=-1).order_by("pk"),
        lambda rows: rows.filter(positive_big__range=[10**14, 3 * 10**14]).order_by("pk"),
        lambda rows: rows.filter(integer__contains="00").order_by("pk"),
        lambda rows: rows.filter(integer__startswith="-").order_by("pk"),
        lambda rows: rows.filter(integer__regex=r"^-?\d000$").order_by("pk"),
        lambda rows: rows.filter(small__iexact="8"),
        lambda rows: rows.filter(boolean=True).order_by("pk"),
        lambda rows: rows.filter(boolean=1).order_by("pk"),
        lambda rows: rows.filter(boolean="False").order_by("pk"),
        lambda rows: rows.exclude(boolean=False).order_by("pk"),
        lambda rows: rows.filter(Q(boolean=True) ^ Q(integer__gt=0)).order_by("pk"),
        lambda rows: rows.filter(decimal=Decimal("1.444")),
        lambda rows: rows.filter(decimal="1.444"),
        lambda rows: rows.filter(decimal=-3),
        lambda rows: rows.filter(decimal__lt=1.5).order_by("pk"),
        lambda rows: rows.filter(decimal__in=[Decimal(-3), "-1.889", 0.333]).order_by("pk"),
        lambda rows: rows.filter(decimal__range=("-1", Decimal("2.5000"))).order_by("pk"),
        lambda rows: rows.filter(float=0.25),
        lambda rows: rows.filter(float=1).order_by("pk"),
        lambda rows: rows.filter(float="0.5"),
        lambda rows: rows.filter(float=float("nan")),
        lambda rows: rows.filter(float__gt=float("-inf")).order_by("pk"),
        lambda rows: rows.filter(float=float("inf")),
        lambda rows: rows.filter(float__gt=Decimal("0.3")).order_by("pk"),
        lambda rows: rows.filter(float__in=[0.25, 1e308, 1e-320]).order_by("pk"),
        lambda rows: rows.filter(float__lt=5e-324).order_by("pk"),
        lambda rows: rows.filter(money=Money(150)),
        lambda rows: rows.filter(money__gt=Money(700)).order_by("pk"),
        lambda rows: rows.filter(money__in=[Money(0), 300]).order_by("pk"),
        lambda rows: rows.filter(level=Level.HIGH).order_by("pk"),
        lambda rows: rows.filter(level__in=list(Level)).order_by("pk"),
        lambda rows: rows.filter(level__gte=Level.MIDDLE).values("level").order_by("pk"),
    ]


@cases.reading(Everything)
def texts() -> list[Any]:
    return [
        lambda rows: rows.filter(char="alpha"),
        lambda rows: rows.filter(char=""),
        lambda rows: rows.filter(char=5),
        lambda rows: rows.filter(char="o'clock"),
        lambda rows: rows.filter(char='say "hi"'),
        lambda rows: rows.filter(char="\\d+"),
        lambda rows: rows.filter(char="naïve ☕"),
        lambda rows: rows.filter(char__iexact="ALPHA").order_by("pk"),
        lambda rows: rows.filter(char__iexact=None).order_by("pk"),
        lambda rows: rows.filter(char__contains="%"),
        lambda rows: rows.filter(char__contains="_").order_by("pk"),
        lambda rows: rows.filter(char__contains="\\"),
        lambda rows: rows.filter(char__icontains="ALP").order_by("pk"),
        lambda rows: rows.filter(char__icontains="Ω").order_by("pk"),
        lambda rows: rows.filter(char__startswith="a").order_by("pk"),
        lambda rows: rows.filter(char__istartswith="A").order_by("pk"),
        lambda rows: rows.filter(char__endswith="%"),
        lambda rows: rows.filter(char__iendswith='HI"'),
        lambda rows: rows.filter(char__regex=r"^[a-z]+$").order_by("pk"),
        lambda rows: rows.filter(char__iregex=r"^[a-z]+$").order_by("pk"),
        lambda rows: rows.filter(char__regex=r"\\"),
        lambda rows: rows.filter(char__regex=r"%|\$1"),
        lambda rows: rows.filter(char__in=["alpha", "Ω", ""]).order_by("pk"),
        lambda rows: rows.filter(char__in=[]),
        lambda rows: rows.filter(char__in=[None, "alpha"]),
        lambda rows: rows.exclude(char__in=["alpha", None]).order_by("pk"),
        lambda rows: rows.filter(char__gt="alpha").order_by("pk"),
        lambda rows: rows.filter(char__range=("a", "b")).order_by("pk"),
        lambda rows: rows.filter(char__contains=F("slug")),
        lambda rows: rows.filter(text__contains=F("char")).order_by("pk"),
        lambda rows: rows.filter(text__startswith=F("char")).order_by("pk"),
        lambda rows: rows.filter(text__regex=F("char")).order_by("pk")[:3],
        lambda rows: rows.filter(text__contains="\n").order_by("pk"),
        lambda rows: rows.filter(text="\t\r\n\x01 \U0001f600"),
        lambda rows: rows.filter(text__contains=7).order_by("pk"),
        lambda rows: rows.filter(slug__in=(f"slug-{n}" for n in range(3))).order_by("pk"),
        lambda rows: rows.filter(email__iexact="USER1@example.org"),
        lambda rows: rows.filter(url__contains="%20").order_by("pk"),
        lambda rows: rows.filter(colour=Colour.RED).order_by("pk"),
        lambda rows: rows.filter(colour__in=[Colour.RED, "blue"]).order_by("pk"),
        lambda rows: rows.filter(colour__contains=Colour.RED).order_by("pk"),
        lambda rows: rows.filter(mood=Mood.GOOD).order_by("pk"),
        lambda rows: rows.filter(mood__in=[Mood.BAD]).order_by("pk"),
        lambda rows: rows.filter(loud="loud alpha").order_by("pk"),
        lambda rows: rows.filter(loud__startswith="loud").values("loud").order_by("pk"),
        lambda rows: rows.filter(file="files/1.txt"),
        lambda rows: rows.filter(path__endswith="/2").values_list("path", flat=True),
        lambda rows: rows.filter(char__contains="$1").order_by("pk"),
        lambda rows: rows.filter(Q(char="a%s") | Q(char="%(x)s") | Q(char="%%") | Q(pk=1)),
        lambda rows: rows.filter(char="'; DROP TABLE differential_everything; --"),
    ]


@cases.reading(Everything)
def other_values() -> list[Any]:
    return [
        lambda rows: rows.filter(binary=b"\x00\xff'\\"),
        lambda rows: rows.filter(binary=memoryview(b"\x00\x00\xff'\\")),
        lambda rows: rows.filter(binary=bytearray(b"")),
        lambda rows: rows.filter(binary__in=[b"", b"\x00\x00\xff'\\"]).order_by("pk"),
        lambda rows: rows.filter(uuid=uuid.UUID(int=5)),
        lambda rows: rows.filter(uuid="00000000-0000-0000-0000-000000000005"),
        lambda rows: rows.filter(uuid="00000000000000000000000000000005"),
        lambda rows: rows.filter(uuid__in=[uuid.UUID(int=5), str(uuid.UUID(int=2**128 - 1))]),
        lambda rows: rows.filter(uuid__gt=uuid.UUID(int=6 * 10**30)).order_by("pk"),
        lambda rows: rows.filter(uuid__startswith="0000").order_by("pk"),
        lambda rows: rows.filter(uuid__icontains="FFFF").order_by("pk"),
        lambda rows: rows.filter(uuid__iexact="00000000-0000-0000-0000-000000000005"),
        lambda rows: rows.filter(ip="10.0.0.1"),
        lambda rows: rows.filter(ip="2001:DB8::1"),
        lambda rows: rows.filter(ip__in=["10.0.0.1", "10.0.0.3", "::1"]).order_by("pk"),
        lambda rows: rows.filter(ip__startswith="10.").order_by("pk"),
        lambda rows: rows.filter(ip__contains="db8").order_by("pk"),
        lambda rows: rows.filter(ip__gt="10.0.0.5").order_by("pk"),
        lambda rows: rows.filter(ip__range=("10.0.0.0", "10.0.0.9")).order_by("pk"),
        lambda rows: rows.filter(date="2024-02-26"),
        lambda rows: rows.filter(date=datetime.date(2024, 2, 29)),
        lambda rows: rows.filter(date__gt=datetime.datetime(2024, 3, 1)).order_by("pk"),
        lambda rows: rows.filter(date__range=("2024-02-27", datetime.date(2024, 3, 1))),
        lambda rows: rows.filter(date=datetime.date.min),
        lambda rows: rows.filter(date__in=[datetime.date.max, "2024-02-26"]).order_by("pk"),
        lambda rows: rows.filter(time="05:01:03.0001"),
        lambda rows: rows.filter(time__gte=datetime.time(20)).order_by("pk"),
        lambda rows: rows.filter(time=datetime.time.max),
        lambda rows: rows.filter(time__in=["00:00", datetime.time(10, 2, 6, 200)]).order_by("pk"),
        lambda rows: rows.filter(duration=timedelta(0)),
        lambda rows: rows.filter(duration__gt=timedelta(days=1)).order_by("pk"),
        lambda rows: rows.filter(duration="-2 00:20:34.000001"),
        lambda rows: rows.filter(duration__range=(timedelta(-5), "1 00:00:00")).order_by("pk"),
        lambda rows: rows.filter(moment=moment(2024, 3, 30, 22, 15)),
        lambda rows: rows.filter(moment__lt=moment(2024, 3, 31, 1)).order_by("pk"),
        lambda rows: rows.filter(moment__in=[moment(2024, 3, 30, 22, 15), moment(2, 1, 1)]),
        lambda rows: rows.filter(moment__range=(moment(2024, 1, 1), moment(2024, 4, 1))).order_by(
            "pk"
        ),
        lambda rows: rows.filter(moment__gt=moment(9998, 12, 31)),
    ]


@cases.reading(Everything)
def casts() -> list[Any]:
    from django.db import models

    def to(source: str, field: Any) -> Any:
        return lambda rows: (
            rows.filter(pk__lte=8)
            .order_by("pk")
            .annotate(made=Cast(source, field))
            .values_list("pk", "made")
        )

    return [
        to("integer", models.CharField(max_length=10)),
        to("integer", models.TextField()),
        to("integer", models.FloatField()),
        to("integer", models.DecimalField(max_digits=9, decimal_places=2)),
        to("integer", models.BigIntegerField()),
        to("integer", models.BooleanField()),
        to("float", models.IntegerField()),
        to("decimal", models.FloatField()),
        to("decimal", models.TextField()),
        to("moment", models.DateField()),
        to("moment", models.TimeField()),
        to("moment", models.TextField()),
        to("date", models.DateTimeField()),
        to("date", models.CharField()),
        to("uuid", models.TextField()),
        to("duration", models.TextField()),
        to("json", models.TextField()),
        to("ip", models.TextField()),
        lambda rows: rows.order_by("pk").annotate(
            given=Coalesce("integer", Value(-1)), named=Coalesce("char", Value("none"))
        ),
        lambda rows: rows.annotate(x=Cast(Value("5"), models.IntegerField())).filter(x=5, pk=1),
        lambda rows: rows.annotate(x=Cast("slug", models.CharField(max_length=2))).filter(x="sl"),
        lambda rows: rows.annotate(d=Cast(Value("2024-02-29"), models.DateField())).filter(
            date=F("d")
        ),
    ]


@cases.reading(Marked)
def what_the_database_fills_in() -> list[Any]:
    return [
        lambda rows: rows.order_by("pk").defer("born", "made", "changed"),
        lambda rows: rows.filter(doubled=F("amount") * 2).order_by("pk").values("pk", "doubled"),
        lambda rows: rows.filter(lowered__startswith="mark").values_list("lowered").order_by("pk"),
        lambda rows: rows.filter(doubled__in=[6, 12]).values("label", "rate").order_by("pk"),
        lambda rows: rows.filter(born__year__gte=2024, made__lte=F("changed")).count(),
    ]


@cases.reading(Odd)
def odd_names() -> list[Any]:
    return [
        lambda rows: rows.all(),
        lambda rows: rows.filter(select__gt=3, quoted__contains='"'),
        lambda rows: rows.filter(dollar=1).values("select", "spaced", "quoted"),
        lambda rows: rows.select_related("other").order_by("-accented"),
        lambda rows: rows.filter(other__spaced="1 %").values_list("other__quoted", "dollar"),
        lambda rows: rows.annotate(total=F("select") + F("dollar")).filter(total__gte=4),
        lambda rows: rows.prefetch_related("others").get(pk=1),
        lambda rows: rows.extra(where=['"with space" LIKE %s'], params=["%2 \\%%"]),
        lambda rows: rows.raw('SELECT * FROM "odd table; --" WHERE "dollar" = %s ORDER BY 1', [1]),
    ]


@cases.failing(Percent)
def a_percent_sign_in_a_name() -> list[Any]:
    # Django sends it to its driver as a placeholder.
    return [
        lambda rows: rows.order_by("pk"),
        lambda rows: rows.filter(share=10),
        lambda rows: rows.values_list("share"),
    ]
