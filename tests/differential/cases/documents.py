"""JSON: every look-up, keys of every kind."""

from __future__ import annotations

import json
from typing import Any

from django.db.models import (
    Case,
    Count,
    F,
    IntegerField,
    JSONField,
    OuterRef,
    Q,
    Subquery,
    Value,
    When,
)
from django.db.models.fields.json import KT, KeyTextTransform, KeyTransform
from django.db.models.functions import Cast, Coalesce, JSONObject, Lower

from tests.differential.case import Cases
from tests.differential.models import Book, Everything, Money

cases = Cases()


@cases.reading(Everything)
def whole_documents() -> list[Any]:
    values: list[Any] = [
        {},
        [],
        "plain",
        "",
        7,
        7.0,
        -1,
        1.5,
        True,
        False,
        None,
        [1, "two", None, 3.5, {"k": "v"}],
        {"a": "1", "b": [], "e": None},
        {"a": 1},
        "7",
        "true",
        12345678901234567890,
        {"é": "☕ % \\ '"},
    ]

    def of(value: Any) -> list[Any]:
        return [
            lambda rows: rows.filter(json=value).order_by("pk"),
            lambda rows: rows.exclude(json=value).order_by("pk"),
        ]

    return [each for value in values for each in of(value)] + [
        lambda rows: rows.filter(json=Value(None, JSONField())).order_by("pk"),
        lambda rows: rows.filter(json__isnull=True).order_by("pk"),
        lambda rows: rows.filter(json__in=[{}, 7, "plain", None]).order_by("pk"),
        lambda rows: rows.filter(json__exact=json.loads('{"a": "1", "b": [], "e": null}')),
        lambda rows: rows.filter(json=F("json")).order_by("pk"),
        lambda rows: rows.filter(json=Cast(Value("7"), JSONField())).order_by("pk"),
        lambda rows: rows.order_by("json", "pk").values_list("json", flat=True),
        lambda rows: rows.filter(json__gt=3).order_by("pk"),
        lambda rows: rows.filter(json__icontains="ONE").order_by("pk"),
        lambda rows: rows.filter(json__regex="deep").order_by("pk"),
        lambda rows: rows.filter(own_json={"price": Money(100), "n": 1}),
        lambda rows: rows.filter(own_json__price=Money(200)).values("own_json"),
        lambda rows: (
            rows.filter(own_json__n__in=[1, 2]).order_by("pk").values_list("own_json__price")
        ),
        lambda rows: rows.filter(django_json__when__startswith="2024-01-03").order_by("pk"),
        lambda rows: rows.filter(django_json__amount="1.10").values("django_json").order_by("pk"),
        lambda rows: rows.only("json").order_by("pk"),
        lambda rows: rows.defer("json", "own_json").order_by("pk"),
    ]


@cases.reading(Everything)
def contained() -> list[Any]:
    values: list[Any] = [
        {"a": 1},
        {"b": {"c": [1]}},
        {"e": None},
        [1],
        ["two", None],
        [{"k": "v"}],
        "plain",
        7,
        {},
        [],
        {"key with space": {"%": "%s"}},
        True,
    ]

    def of(value: Any) -> list[Any]:
        return [
            lambda rows: rows.filter(json__contains=value).order_by("pk"),
            lambda rows: rows.filter(json__contained_by=value).order_by("pk"),
        ]

    return [each for value in values for each in of(value)] + [
        lambda rows: rows.exclude(json__contains={"a": 1}).order_by("pk"),
        lambda rows: rows.filter(json__b__contains={"c": [2]}).order_by("pk"),
        lambda rows: rows.filter(json__a__contains=[1, 3]).order_by("pk"),
        lambda rows: rows.filter(json__b__contained_by={"c": "x", "d": 1}).order_by("pk"),
        lambda rows: rows.filter(json__contains=F("json")).order_by("pk"),
        lambda rows: rows.filter(json__has_key="a").order_by("pk"),
        lambda rows: rows.filter(json__has_key="key with space").order_by("pk"),
        lambda rows: rows.filter(json__has_key="quo'te").order_by("pk"),
        lambda rows: rows.filter(json__has_key="1").order_by("pk"),
        lambda rows: rows.filter(json__b__has_key="c").order_by("pk"),
        lambda rows: rows.filter(json__has_key=KeyTransform("c", "json__b")).order_by("pk"),
        lambda rows: rows.filter(json__has_keys=["a", "b", "e"]).order_by("pk"),
        lambda rows: rows.filter(json__has_any_keys=["e", "1", "%"]).order_by("pk"),
        lambda rows: rows.exclude(json__has_any_keys=["a"]).order_by("pk"),
        lambda rows: rows.filter(json__nested__deep__has_any_keys=["deeper", "x"]).order_by("pk"),
    ]


@cases.reading(Everything)
def keys() -> list[Any]:
    return [
        lambda rows: rows.filter(json__a=1).order_by("pk"),
        lambda rows: rows.filter(json__a="1").order_by("pk"),
        lambda rows: rows.filter(json__a=[1, 2, 3]).order_by("pk"),
        lambda rows: rows.filter(json__a=False).order_by("pk"),
        lambda rows: rows.filter(json__a__in=[1, "1", 1.5]).order_by("pk"),
        lambda rows: rows.filter(json__a__in=[]).order_by("pk"),
        lambda rows: rows.filter(json__a__gt=1).order_by("pk"),
        lambda rows: rows.filter(json__a__gte=1.5).order_by("pk"),
        lambda rows: rows.filter(json__a__lt="2").order_by("pk"),
        lambda rows: rows.filter(json__a__range=(0, 5)).order_by("pk"),
        lambda rows: rows.filter(json__a__isnull=True).order_by("pk"),
        lambda rows: rows.filter(json__a__isnull=False).order_by("pk"),
        lambda rows: rows.filter(json__e=None).order_by("pk"),
        lambda rows: rows.filter(json__e__isnull=True).order_by("pk"),
        lambda rows: rows.filter(json__b__c=[1, 2, {"d": None}]),
        lambda rows: rows.filter(json__b__c__0=1),
        lambda rows: rows.filter(json__b__c__2__d=None),
        lambda rows: rows.filter(json__b__c__1__gte=2),
        lambda rows: rows.filter(json__1="two"),
        lambda rows: rows.filter(json__1="one"),
        lambda rows: rows.filter(json__4__k="v"),
        lambda rows: rows.filter(**{"json__key with space__%": "%s"}),
        lambda rows: rows.filter(**{"json__quo'te": 2}),
        lambda rows: rows.filter(**{"json__a' = '1' OR '1": 1}),
        lambda rows: rows.filter(json__e__contains="ex").order_by("pk"),
        lambda rows: rows.filter(json__e__icontains="EX").order_by("pk"),
        lambda rows: rows.filter(json__e__startswith="t").order_by("pk"),
        lambda rows: rows.filter(json__e__istartswith="T").order_by("pk"),
        lambda rows: rows.filter(json__e__endswith="t").order_by("pk"),
        lambda rows: rows.filter(json__e__iexact="TEXT").order_by("pk"),
        lambda rows: rows.filter(json__a__iexact="1").order_by("pk"),
        lambda rows: rows.filter(json__e__regex="^te.t$").order_by("pk"),
        lambda rows: rows.filter(json__e__iregex="^TE").order_by("pk"),
        lambda rows: rows.filter(json__nested__deep__deeper__1__deepest="yes"),
        lambda rows: rows.filter(json__nested__deep__deeper__0=0),
        lambda rows: rows.filter(json__big=12345678901234567890),
        lambda rows: rows.filter(json__when__gt="2024-01").order_by("pk"),
        lambda rows: rows.filter(json__a=F("json__b")).order_by("pk"),
        lambda rows: rows.filter(json__a=F("json__0")),
        lambda rows: rows.filter(json__a=Value(1, JSONField())).order_by("pk"),
        lambda rows: rows.exclude(json__a=1).order_by("pk"),
        lambda rows: rows.exclude(json__e=None).order_by("pk"),
        lambda rows: rows.filter(Q(json__a=1) | Q(json__a="1")).order_by("pk"),
        lambda rows: rows.filter(~Q(json__a__gt=0)).order_by("pk"),
        lambda rows: rows.filter(json__contains=["two"], json__0=1).order_by("pk"),
        lambda rows: rows.filter(json__nothing__at__all="x"),
        lambda rows: rows.filter(json__a__exact=None).order_by("pk"),
        lambda rows: rows.filter(json__isnull=False, json__a__isnull=True).order_by("pk"),
    ]


@cases.reading(Everything)
def as_expressions() -> list[Any]:
    return [
        lambda rows: rows.order_by("pk").values_list("json__a", flat=True),
        lambda rows: rows.order_by("pk").values("json__b__c", "json__e", "json__1"),
        lambda rows: rows.order_by("json__a", "pk").values_list("pk", flat=True),
        lambda rows: rows.order_by(F("json__b__c").desc(nulls_last=True), "pk").values("pk"),
        lambda rows: rows.order_by("pk").annotate(x=KeyTransform("a", "json")).values("x"),
        lambda rows: rows.order_by("pk").annotate(x=KeyTextTransform("a", "json")).values("x"),
        lambda rows: (
            rows.order_by("pk")
            .annotate(x=KeyTransform("0", KeyTransform("c", KeyTransform("b", "json"))))
            .values("x")
        ),
        lambda rows: rows.order_by("pk").annotate(x=KeyTransform(1, "json")).values("x"),
        lambda rows: rows.order_by("pk").annotate(x=KT("json__b__c__0")).values("x"),
        lambda rows: rows.annotate(x=KT("json__e")).filter(x="text").order_by("pk"),
        lambda rows: (
            rows.annotate(x=Lower(KT("json__e"))).filter(x__startswith="te").order_by("pk")
        ),
        lambda rows: rows.order_by("pk").annotate(x=F("json__a")).values("x"),
        lambda rows: (
            rows.filter(pk=1).annotate(x=Cast(KT("json__a"), IntegerField()) + 1).values("x")
        ),
        lambda rows: (
            rows.order_by("pk")
            .annotate(x=Coalesce("json__a", Value("none", JSONField())))
            .values("x")
        ),
        lambda rows: (
            rows.order_by("pk").annotate(x=JSONObject(a="json__a", b=KT("json__e"))).values("x")
        ),
        lambda rows: (
            rows.order_by("pk")
            .annotate(x=Case(When(json__a=1, then=Value("one")), default=Value("other")))
            .values("x")
        ),
        lambda rows: rows.values("json__a").annotate(n=Count("pk")).order_by("n", "json__a"),
        lambda rows: (
            rows.filter(json__has_key="a").values_list("json__a").distinct().order_by("json__a")
        ),
        lambda rows: (
            rows.order_by("pk")
            .annotate(x=Subquery(Everything.objects.filter(pk=OuterRef("pk")).values("json__b")))
            .values("x")
        ),
        lambda rows: rows.filter(
            json__a__in=Everything.objects.filter(pk=1).values("json__a")
        ).order_by("pk"),
        lambda rows: (
            rows.order_by("pk").annotate(x=Value({"a": [1, "%s"]}, JSONField())).values("x")[:2]
        ),
        lambda rows: (
            rows.order_by("pk")
            .annotate(x=Value("text", JSONField()), y=Value(None, JSONField()))
            .values("x", "y")[:2]
        ),
    ]


@cases.reading(Book)
def of_joined_tables() -> list[Any]:
    return [
        lambda rows: rows.filter(about__weight__gt=50).order_by("pk"),
        lambda rows: rows.filter(about__langs__contains="fr").order_by("pk"),
        lambda rows: rows.filter(about__langs__1="fr").order_by("pk"),
        lambda rows: rows.filter(about__isbn__x="3"),
        lambda rows: rows.filter(about__isbn__x=3),
        lambda rows: rows.filter(publisher__books__about__weight__lt=30).distinct().order_by("pk"),
        lambda rows: (
            rows.values("publisher__name")
            .annotate(n=Count("about__langs__0"))
            .order_by("publisher__name")
        ),
    ]


@cases.failing(Everything)
def documents_that_fail() -> list[Any]:
    return [
        lambda rows: rows.filter(json={1, 2}),
        lambda rows: rows.filter(json__contains=None),
        lambda rows: rows.filter(json__has_key=1),
        lambda rows: rows.filter(json__a=F("small")),
        lambda rows: rows.filter(json__a=F("pk") * 10),
        lambda rows: rows.filter(json__contains={"a": object()}),
        lambda rows: rows.filter(json__has_keys="a", json__a__nothing__in=1),
        lambda rows: rows.filter(json__has_any_keys=5),
        lambda rows: rows.annotate(x=Cast("json__e", IntegerField())).order_by("pk"),
        lambda rows: rows.filter(json__a__regex="(").order_by("pk"),
        lambda rows: rows.filter(json="nul\x00").order_by("pk"),
    ]
