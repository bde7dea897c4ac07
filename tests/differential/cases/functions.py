"""Each function of django.db.models.functions, with columns and with literals."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

from django.contrib.postgres.functions import RandomUUID, TransactionNow
from django.db.models import (
    BooleanField,
    CharField,
    DateTimeField,
    F,
    FloatField,
    IntegerField,
    JSONField,
    PositiveIntegerField,
    Q,
    TextField,
    Value,
)
from django.db.models import functions as f

from tests.differential.case import Cases
from tests.differential.models import Book, Everything
from tests.differential.worlds import moment

cases = Cases()


def annotated(expressions: list[Any]) -> list[Any]:
    def of(expression: Any) -> Any:
        return lambda rows: rows.order_by("pk").annotate(x=expression).values_list("pk", "x")

    return [of(each) for each in expressions]


@cases.reading(Book)
def on_texts() -> list[Any]:
    return annotated(
        [
            f.Chr("pages"),
            f.Chr(Value(9749)),
            f.Concat("title", Value(" "), "publisher__name"),
            f.Concat("title", Value("%s")),
            f.Concat("pages", Value("/"), "price", output_field=TextField()),
            f.Concat(Value("a"), Value("b")),
            f.Left("title", 3),
            f.Left("title", F("pages") % 5),
            f.Length("title"),
            f.Length(Value("ünï")),
            f.Lower("title"),
            f.LPad("title", 15, Value("*")),
            f.LPad("title", f.Length("title") + 2, Value("%")),
            f.LTrim(Value("  x ")),
            f.MD5("title"),
            f.Ord("title"),
            f.Ord(Value("é")),
            f.Repeat("title", 2),
            f.Repeat(Value("ab"), F("pages") % 4),
            f.Replace("title", Value("o"), Value("0")),
            f.Replace("title", Value("%")),
            f.Reverse("title"),
            f.Right("title", 2),
            f.RPad("title", 12, Value("\\")),
            f.RPad("title", 30),
            f.RTrim("title"),
            f.StrIndex("title", Value("o")),
            f.StrIndex("title", f.Left("publisher__name", 1)),
            f.Substr("title", 3),
            f.Substr("title", 2, 4),
            f.Substr("title", F("pages") % 3 + 1, 2),
            f.Trim(f.Concat(Value(" "), "title")),
            f.Upper("title"),
            f.Upper(Value("straße")),
            f.Collate("title", "C"),
        ]
    )


@cases.reading(Book)
def on_numbers() -> list[Any]:
    return [
        *annotated(
            [
                f.Abs(F("pages") * -1),
                f.Abs(Value(-1.5)),
                f.ACos(Value(0.5)),
                f.ASin(F("pages") / 1000.0, output_field=FloatField()),
                f.ATan("rating"),
                f.ATan2("rating", "pages"),
                f.ATan2(Value(1.0), Value(2)),
                f.Ceil("price"),
                f.Ceil("rating"),
                f.Ceil(Value(1.2)),
                f.Cos("rating"),
                f.Cot("pages"),
                f.Degrees("rating"),
                f.Exp("rating"),
                f.Exp(Value(1)),
                f.Floor("price"),
                f.Floor(F("rating") + 0.7),
                f.Ln("pages"),
                f.Log(2, "pages"),
                f.Log("pages", Value(2.5)),
                f.Log(Value(10), "price"),
                f.Mod("pages", 7),
                f.Mod("price", 2.5),
                f.Mod("rating", 2),
                f.Pi(),
                f.Power("pages", 2),
                f.Power("rating", 0.5),
                f.Power(Value(2), "pk"),
                f.Radians("pages"),
                f.Round("price"),
                f.Round("price", 1),
                f.Round("price", precision=-1),
                f.Round("rating"),
                f.Round(Value(Decimal("2.675")), 2),
                f.Sign(F("pages") - 100),
                f.Sign("price"),
                f.Sin("rating"),
                f.Sqrt("pages"),
                f.Sqrt("price"),
                f.Sqrt(Value(2)),
                f.Tan("rating"),
            ]
        ),
        lambda rows: rows.annotate(x=f.Random()).filter(x__gte=0, x__lt=1).count(),
        lambda rows: rows.filter(price__gt=f.Sqrt("pages")).order_by("pk"),
        lambda rows: rows.order_by(f.Mod("pages", 7), "pk").values_list("pk", flat=True),
    ]


@cases.reading(Book)
def that_compare_and_choose() -> list[Any]:
    return annotated(
        [
            f.Coalesce("rating", 0.0),
            f.Coalesce("rating", Value(1.5)),
            f.Coalesce("publisher__name", Value("none")),
            f.Coalesce("published", Value(datetime.date(2000, 1, 1))),
            f.Coalesce("released", Value(moment(2000, 1, 1)), output_field=DateTimeField()),
            f.Coalesce("shelf_time", Value(datetime.timedelta(0))),
            f.Coalesce("editor__name", "publisher__name", Value("")),
            f.Coalesce(Value(None, output_field=PositiveIntegerField()), "pages"),
            f.Greatest("pages", 100),
            f.Greatest("rating", Value(2.5)),
            f.Greatest("price", F("pages") / 10, output_field=FloatField()),
            f.Greatest("title", Value("M")),
            f.Greatest("published", datetime.date(2023, 6, 1)),
            f.Greatest("released", Value(moment(2023, 6, 1))),
            f.Least("pages", 100, F("pk") * 20),
            f.Least("title", Value("M")),
            f.Least("shelf_time", Value(datetime.timedelta(days=9))),
            f.NullIf("pages", 101),
            f.NullIf("title", Value("The Pool")),
            f.NullIf("rating", Value(1.5)),
            f.NullIf(Value("a"), Value("b")),
            f.Cast(f.NullIf(Value(""), Value("")), CharField()),
        ]
    )


@cases.reading(Book)
def that_make_documents() -> list[Any]:
    return annotated(
        [
            f.JSONObject(title="title", pages="pages"),
            f.JSONObject(
                lowered=f.Lower("title"), n=Value(1), text=Value("it's"), none=Value(None)
            ),
            f.JSONObject(
                price="price", when="released", on="published", nested=f.JSONObject(a="pk")
            ),
            f.JSONObject(half=F("pages") / 2.0, flag=Q(pages__gt=100), about="about"),
            f.JSONObject(),
            f.JSONArray("title", "pages", Value(1.5)),
            f.JSONArray(Value("a"), Value(None, JSONField()), Value(True), f.JSONArray("pk")),
            f.JSONArray("released", "shelf_time"),
            f.Cast(f.JSONObject(a="pk"), JSONField()),
        ]
    )


@cases.reading(Book)
def as_conditions() -> list[Any]:
    return [
        lambda rows: rows.annotate(x=f.Length("title")).filter(x__gt=8).order_by("pk"),
        lambda rows: rows.annotate(x=f.Lower("title")).filter(x="the pool").order_by("pk"),
        lambda rows: (
            rows.annotate(x=f.Lower("title"))
            .filter(x__contains=f.Lower(Value("POOL")))
            .order_by("pk")
        ),
        lambda rows: rows.annotate(x=f.Left("title", 1)).filter(x__in=["A", "T"]).order_by("pk"),
        lambda rows: rows.filter(title=f.Concat(Value("The "), Value("Pool"))).order_by("pk"),
        lambda rows: rows.filter(title__startswith=f.Left("title", 2)).order_by("pk"),
        lambda rows: rows.filter(
            title__in=[f.Upper(Value("x")), f.Concat(Value("A "), Value("Loop"))]
        ),
        lambda rows: rows.filter(pages__lt=f.Length("title") * 6).order_by("pk"),
        lambda rows: rows.filter(rating__gt=f.Coalesce("rating", 0) - 1).order_by("pk"),
        lambda rows: rows.filter(released__lte=f.Now()).order_by("pk"),
        lambda rows: rows.filter(published__lt=f.Now()).order_by("pk"),
        lambda rows: rows.filter(released__gt=f.Now() - datetime.timedelta(days=365000)).order_by(
            "pk"
        ),
        lambda rows: (
            rows.annotate(x=f.Now() - F("released")).filter(x__gt=datetime.timedelta(1)).count()
        ),
        lambda rows: rows.filter(released__lt=TransactionNow()).count(),
        lambda rows: (
            rows.annotate(x=f.Length(f.Cast(RandomUUID(), TextField())))
            .values_list("x", flat=True)
            .distinct()
        ),
        lambda rows: rows.order_by(f.Lower("title").desc(), "pk").values_list("title", flat=True),
        lambda rows: rows.order_by(f.Collate("title", "C"), "pk").values_list("title", flat=True),
        lambda rows: rows.filter(title=f.Collate(Value("The Pool"), "C")).order_by("pk"),
        lambda rows: (
            rows.annotate(x=f.Cast(Q(pages__gt=100), BooleanField())).filter(x=True).order_by("pk")
        ),
        lambda rows: rows.annotate(x=f.Substr("title", 1, 1)).values("x").distinct().order_by("x"),
        lambda rows: rows.filter(pages=f.Cast(Value("101"), IntegerField())).order_by("pk"),
        lambda rows: rows.filter(pages__in=[f.Cast(Value("101"), IntegerField()), 51]).order_by(
            "pk"
        ),
    ]


@cases.reading(Everything)
def on_other_types() -> list[Any]:
    return annotated(
        [
            f.Length("char"),
            f.Lower("email"),
            f.Upper("loud"),
            f.MD5("text"),
            f.Round("decimal", 1),
            f.Abs("float"),
            f.Abs("integer"),
            f.Greatest("small", "integer"),
            f.Greatest("ip", Value("10.0.0.4"), output_field=Everything._meta.get_field("ip")),
            f.Least("uuid", "uuid"),
            f.Coalesce("boolean", Value(True)),
            f.Coalesce(
                "uuid",
                Value("00000000-0000-0000-0000-000000000009"),
                output_field=Everything._meta.get_field("uuid"),
            ),
            f.Coalesce("binary", Value(b"none")),
            f.Coalesce("json", Value({"none": True}, output_field=JSONField())),
            f.Coalesce("money", Value(3), output_field=Everything._meta.get_field("money")),
            f.NullIf("colour", Value("red")),
            f.JSONObject(a="uuid", c="decimal", d="json", e="boolean"),
        ]
    )


@cases.failing(Book)
def that_fail() -> list[Any]:
    return [
        *annotated([f.Sqrt(Value(-1)), f.Ln(Value(0)), f.ACos(Value(2.0)), f.Mod("pages", 0)]),
        *annotated([f.Collate("title", "no_such_collation"), f.Chr(Value(0)), f.Exp(Value(1e6))]),
        *annotated([f.Cast("title", IntegerField()), f.Cast(Value("x"), FloatField())]),
        *annotated([f.Concat("pages", "title"), f.Coalesce("pages", "title"), f.Lower("nothing")]),
        *annotated([f.Power(Value(1e300), "rating"), f.Upper(F("about") + 1)]),
        # Without the extension pgcrypto; of a key of 8 bytes.
        *annotated([f.SHA1("title"), f.SHA512("title"), f.Substr("title", F("pk"), 2)]),
        *annotated([f.Round("price", 2**31), f.Repeat(Value("ab"), F("pk"))]),
    ]
