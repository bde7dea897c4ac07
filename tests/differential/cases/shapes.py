"""The shapes of an answer: instances, dictionaries, tuples, slices, sets, text of one's own."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db.models import CharField, Count, F, IntegerField, Max, Prefetch, Q, Sum, Value
from django.db.models.functions import Length, Lower

from tests.differential.case import Cases
from tests.differential.models import (
    Author,
    Book,
    Cheap,
    Edition,
    Everything,
    Person,
    Publisher,
    Tag,
)

cases = Cases()

MANY = 40_000


@cases.reading(Book)
def values() -> list[Any]:
    return [
        lambda rows: rows.order_by("pk").values("title"),
        lambda rows: rows.order_by("pk").values("publisher", "publisher__name", "publisher_id"),
        lambda rows: rows.order_by("pk", "tags__label").values("title", "tags__label"),
        lambda rows: rows.order_by("pk").values("title", upper=Lower("title"), n=Value(1)),
        lambda rows: rows.order_by("pk").values(half=F("pages") / 2),
        lambda rows: rows.order_by("pk").annotate(n=Count("tags")).values("n", "pk"),
        lambda rows: rows.order_by("pk").values().annotate(x=F("pages") + 1),
        lambda rows: rows.order_by("pk").values("pk", "cover", "cover__weight", "summary__names"),
        lambda rows: rows.order_by("pk").values_list("title", "pages"),
        lambda rows: rows.order_by("pk").values_list("title", flat=True),
        lambda rows: rows.order_by("pk").values_list("pk", flat=True)[:3],
        lambda rows: rows.order_by("pk").values_list("title", "pages", named=True),
        lambda rows: rows.order_by("pk").values_list("title", Lower("title"), named=True),
        lambda rows: rows.order_by("pk").values_list(Length("title"), F("pages") * 2),
        lambda rows: rows.order_by("pk").values_list(F("price") * Decimal("1.1"), flat=True),
        lambda rows: rows.order_by("pk").values_list("about__isbn", "released"),
        lambda rows: rows.order_by("pk", "authors__name").values_list("authors__name"),
        lambda rows: rows.order_by("pk").values_list(),
        lambda rows: rows.order_by("pk").values_list("pk", flat=True).get(title="A Loop"),
        lambda rows: rows.values("title").get(pk=2),
        lambda rows: rows.order_by("-pk").values_list("title").first(),
        lambda rows: (
            rows.annotate(n=Count("tags")).values_list("n", "title").order_by("-n", "title").last()
        ),
        lambda rows: rows.extra(select={"x": "pages * 2"}).values("x", "title").order_by("pk"),
        lambda rows: rows.values_list("pk", "notes__text").order_by("pk", "notes__pk"),
    ]


@cases.reading(Book)
def deferred() -> list[Any]:
    return [
        lambda rows: rows.only("title").order_by("pk"),
        lambda rows: rows.only("title", "publisher").order_by("pk"),
        lambda rows: rows.defer("about", "released").order_by("pk"),
        lambda rows: rows.defer("about").defer(None).order_by("pk"),
        lambda rows: rows.defer("title").only("title", "pages").order_by("pk"),
        lambda rows: rows.only("pk").order_by("pk"),
        lambda rows: rows.only("title").annotate(n=Count("tags")).order_by("pk"),
        lambda rows: rows.select_related("publisher").only("publisher__country").order_by("pk"),
        lambda rows: (
            rows.prefetch_related(Prefetch("tags", Tag.objects.only("label")))
            .only("title")
            .order_by("pk")
        ),
        lambda rows: rows.defer("publisher__name").select_related("publisher").order_by("pk")[:4],
        lambda rows: rows.only("title").order_by("pk").in_bulk([1, 2]),
    ]


@cases.reading(Book)
def distinct() -> list[Any]:
    return [
        lambda rows: rows.values("publisher").distinct().order_by("publisher"),
        lambda rows: rows.filter(tags__label__in=["new", "old"]).distinct().order_by("pk"),
        lambda rows: rows.distinct("publisher_id").order_by("publisher_id", "-pages", "pk"),
        lambda rows: rows.distinct("publisher__country").order_by("publisher__country", "pk"),
        lambda rows: rows.order_by("publisher_id", "pk").distinct("publisher").values_list("title"),
        lambda rows: rows.distinct("title").order_by("title", "pk").count(),
        lambda rows: rows.annotate(l=Lower("title")).distinct("l").order_by("l", "pk").values("l"),
        lambda rows: rows.annotate(m=F("pages") % 3).distinct("m").order_by("m", "pk"),
        lambda rows: rows.values_list("title", flat=True).distinct().order_by("-title"),
        lambda rows: rows.values("authors__name").distinct().order_by("authors__name")[1:3],
        lambda rows: rows.distinct().filter(authors__books__pages__gt=50).order_by("pk").count(),
    ]


@cases.reading(Book)
def slices_and_orders() -> list[Any]:
    return [
        lambda rows: rows.order_by("pk")[:3],
        lambda rows: rows.order_by("pk")[3:],
        lambda rows: rows.order_by("pk")[2:5],
        lambda rows: rows.order_by("pk")[2:5][1:],
        lambda rows: rows.order_by("pk")[50:60],
        lambda rows: rows.order_by("pk")[0:0],
        lambda rows: rows.order_by("pk").reverse(),
        lambda rows: rows.order_by("pages", "title").reverse()[:4],
        lambda rows: rows.order_by("-publisher__name", "pk"),
        lambda rows: rows.order_by("publisher", "-pk"),
        lambda rows: rows.order_by(F("rating").desc(nulls_first=True), "pk"),
        lambda rows: rows.order_by(Lower("title").desc(), "-pk"),
        lambda rows: rows.order_by("summary__author_count", "pk"),
        lambda rows: rows.annotate(n=Count("authors")).order_by("-n", "pk"),
        lambda rows: rows.order_by(),
        lambda rows: rows.order_by("editor__mentor__name", "pk"),
        lambda rows: rows.order_by("about__weight", "pk").values_list("pk", flat=True),
        lambda rows: rows.order_by("?").filter(pk=1),
        lambda rows: rows.none(),
        lambda rows: rows.none().values_list("pk"),
        lambda rows: rows.filter(pk=1) | rows.none(),
        lambda rows: rows.filter(pk__in=[]),
        lambda rows: rows.exclude(pk__in=[]).order_by("pk"),
        lambda rows: rows.filter(pk=-1),
        lambda rows: rows.filter(pk=1).filter(pk=2),
        lambda rows: rows.first(),
        lambda rows: rows.last(),
        lambda rows: rows.filter(pk=-1).first(),
        lambda rows: rows.order_by("title").last(),
        lambda rows: rows.contains(Book(pk=3)),
        lambda rows: rows.contains(Book(pk=33)),
        lambda rows: rows.order_by("pk").in_bulk(),
        lambda rows: rows.order_by("pk").in_bulk([3, 1, 99]),
        lambda rows: rows.in_bulk(["3"]),
        lambda rows: rows.in_bulk([]),
        lambda rows: rows.get(title="A Loop"),
        lambda rows: rows.alias(n=Length("title")).filter(n__lt=8).order_by("n", "pk"),
        lambda rows: rows.using("default").order_by("pk"),
        lambda rows: rows.complex_filter({"pages__gt": 100}).order_by("pk"),
        lambda rows: rows.complex_filter(Q(pages__gt=100)).order_by("pk"),
    ]


@cases.reading(Book)
def sets() -> list[Any]:
    short = Book.objects.filter(pages__lt=80)
    dear = Book.objects.filter(price__gt=20)
    return [
        lambda rows: rows.filter(pages__gt=100).union(short).order_by("pk"),
        lambda rows: rows.union(short, dear, all=True).order_by("pk"),
        lambda rows: rows.filter(pages__gt=100).intersection(dear).order_by("pk"),
        lambda rows: rows.difference(short, dear).order_by("-pages", "pk"),
        lambda rows: rows.union(short).order_by("title", "pk")[1:4],
        lambda rows: rows.order_by("pk")[:2].union(short.order_by("-pk")[:2]).order_by("pk"),
        lambda rows: (
            rows.values("pk", "title").union(short.values("pk", "title")).order_by("title", "pk")
        ),
        lambda rows: (
            rows.values_list("title")
            .union(Publisher.objects.order_by().values_list("name"))
            .order_by("title")
        ),
        lambda rows: (
            rows.values_list("title", flat=True)
            .intersection(short.values_list("title", flat=True))
            .order_by("title")
        ),
        lambda rows: (
            rows.annotate(x=Value(1))
            .values("pk", "x")
            .union(short.annotate(x=Value(2)).values("pk", "x"))
            .order_by("pk", "x")
        ),
        lambda rows: (
            rows.annotate(x=Value("a"))
            .values("pk", "x")
            .union(short.annotate(x=Value("b")).values("pk", "x"))
            .order_by("pk", "x")
        ),
        lambda rows: (
            rows.annotate(x=Value(None, output_field=IntegerField()))
            .values("x")
            .union(short.annotate(x=F("pages")).values("x"))
            .order_by("x")
        ),
        lambda rows: (
            rows.annotate(x=Value("", output_field=CharField()))
            .values_list("pk", "x")
            .union(Person.objects.values_list("pk", "name"))
            .order_by("pk", "x")
        ),
        lambda rows: rows.filter(pages__gt=100).union(short).count(),
        lambda rows: rows.filter(pk__in=[]).union(short).order_by("pk"),
        lambda rows: rows.none().union(rows.filter(pk=1), short).order_by("pk"),
        lambda rows: rows.filter(pages__gt=100).union(short).exists(),
        lambda rows: rows.filter(pages__gt=100).union(short).order_by("-pk").first(),
        lambda rows: (
            rows.filter(pages__gt=100).union(short).order_by("pk").values_list("title", flat=True)
        ),
        lambda rows: rows.filter(pages__gt=100) | short.filter(price__lt=5),
        lambda rows: (rows.filter(pages__gt=60) & rows.filter(price__gt=10)).order_by("pk"),
        lambda rows: (rows.filter(pages__gt=60) ^ rows.filter(price__gt=10)).order_by("pk"),
        lambda rows: rows.difference(short.intersection(dear)).order_by("pk"),
        lambda rows: rows.filter(pk__in=short.values("pk").union(dear.values("pk"))).order_by("pk"),
        lambda rows: (
            rows.select_related("publisher").union(short.select_related("publisher")).order_by("pk")
        ),
        lambda rows: (
            rows.values("released", "price")
            .union(short.values("released", "price"))
            .order_by("price")
        ),
    ]


@cases.reading(Book)
def extra() -> list[Any]:
    return [
        lambda rows: rows.extra(select={"half": "pages / 2"}).order_by("pk"),
        lambda rows: rows.extra(select={"x": "pages + %s"}, select_params=[5]).order_by("pk"),
        lambda rows: rows.extra(
            select={"x": "%s", "y": "%s::int"}, select_params=["it's %", "7"]
        ).order_by("pk"),
        lambda rows: rows.extra(where=["pages > %s", "title LIKE 'A%%'"], params=[10]).order_by(
            "pk"
        ),
        lambda rows: rows.extra(
            where=["title = %s OR price > %s"], params=["A Loop", Decimal(30)]
        ).order_by("pk"),
        lambda rows: rows.extra(
            tables=["differential_cover"],
            where=["differential_cover.book_id = differential_book.id"],
        ).order_by("pk"),
        lambda rows: rows.extra(order_by=["-pages", "id"]),
        lambda rows: rows.extra(
            select={
                "n": "SELECT count(*) FROM differential_cover WHERE book_id = differential_book.id"
            }
        ).order_by("pk"),
        lambda rows: (
            rows.extra(select={"flag": "pages > 100"}).values("flag", "title").order_by("pk")
        ),
        lambda rows: rows.extra(select={"flag": "pages > 100"}).extra(order_by=["flag", "id"]),
        lambda rows: rows.extra(where=["released > %s"], params=["2023-06-01 00:00+00"]).order_by(
            "pk"
        ),
        lambda rows: rows.extra(where=["id = ANY(%s)"], params=[[1, 2, 3]]).order_by("pk"),
        lambda rows: rows.extra(where=["id IN (%s, %s)"], params=["1", 2]).order_by("pk"),
    ]


@cases.reading(Book)
def raw() -> list[Any]:
    table = "differential_book"
    return [
        lambda rows: rows.raw(f"SELECT * FROM {table} ORDER BY id"),
        lambda rows: rows.raw(f"SELECT id, title FROM {table} ORDER BY id"),
        lambda rows: rows.raw(f"SELECT * FROM {table} WHERE pages > %s ORDER BY id", [100]),
        lambda rows: rows.raw(
            f"SELECT * FROM {table} WHERE pages > %s AND title LIKE %s ORDER BY id", (10, "A%")
        ),
        lambda rows: rows.raw(
            f"SELECT * FROM {table} WHERE title = %(title)s OR pages = %(n)s ORDER BY id",
            {"title": "A Loop", "n": 101},
        ),
        lambda rows: rows.raw(
            f"SELECT * FROM {table} WHERE pages > %(n)s AND pages < %(n)s * 2 ORDER BY id",
            {"n": 40},
        ),
        lambda rows: rows.raw(
            f"SELECT id, title AS editor_name, pages * 2 AS twice FROM {table} ORDER BY id"
        ),
        lambda rows: rows.raw(
            f"SELECT id AS x, title AS y FROM {table} ORDER BY id",
            translations={"x": "id", "y": "title"},
        ),
        lambda rows: rows.raw(f"SELECT * FROM {table} WHERE title LIKE '100\\%%' ORDER BY id"),
        lambda rows: rows.raw(
            f"SELECT * FROM {table} WHERE title LIKE '100%%' AND pages <> %s ORDER BY id", [0]
        ),
        lambda rows: rows.raw(f"SELECT * FROM {table} WHERE id = ANY(%s) ORDER BY id", [[1, 2]]),
        lambda rows: rows.raw(
            f"SELECT * FROM {table} WHERE released > %s ORDER BY id", ["2023-06-01"]
        ),
        lambda rows: rows.raw(
            f"SELECT * FROM {table} WHERE id IN (%s, %s, %s) ORDER BY id", ["1", 2, 3]
        ),
        lambda rows: rows.raw(f"SELECT * FROM {table} ORDER BY id").prefetch_related(
            "tags", "publisher"
        ),
        lambda rows: rows.raw(
            f"SELECT b.*, now() > '2000-01-01' AS x FROM {table} b ORDER BY id LIMIT %s OFFSET %s",
            [3, 1],
        ),
        lambda rows: rows.raw(f"SELECT * FROM {table} WHERE FALSE"),
        lambda rows: rows.raw(
            f"SELECT id, ARRAY[pages, 1] AS l, NULL AS n, 1.50 AS d, 'x'::char(3) AS c,"
            f" '{{\"a\": 1}}'::json AS j FROM {table} ORDER BY id"
        ),
        lambda rows: rows.raw(
            f"SELECT id, interval '1 day' AS i, '1.2.3.4'::inet AS a, point(1,2) AS p,"
            f" '1'::bit(3) AS b, 5::money AS m FROM {table} ORDER BY id"
        ),
        lambda rows: rows.raw(
            f"WITH b AS (SELECT * FROM {table} WHERE pages > %s) SELECT * FROM b ORDER BY id", [100]
        ),
        lambda rows: rows.raw(
            f"SELECT * FROM {table} WHERE about @> %s ORDER BY id", ['{"weight": 10}']
        ),
        lambda rows: rows.raw(f"SELECT * FROM {table} WHERE about ? %s ORDER BY id", ["weight"]),
        lambda rows: rows.raw(
            f"SELECT * FROM {table} WHERE %s IS NULL OR pages > %s ORDER BY id", [None, 50]
        ),
        lambda rows: rows.raw(
            f"SELECT * FROM {table} WHERE (%s = 'x') = %s ORDER BY id", ["x", True]
        ),
    ]


@cases.reading(Book)
def many() -> list[Any]:
    return [
        lambda rows: rows.filter(pk__in=range(MANY)).order_by("pk"),
        lambda rows: rows.filter(pk__in=[str(n) for n in range(MANY)]).order_by("pk"),
        lambda rows: rows.exclude(pk__in=list(range(3, MANY))).order_by("pk"),
        lambda rows: rows.filter(title__in=[f"t{n}" for n in range(MANY)] + ["A Loop"]),
        lambda rows: rows.order_by("pk").in_bulk(range(MANY)),
        lambda rows: rows.filter(price__in=[Decimal(n) / 100 for n in range(10_000)]).order_by(
            "pk"
        ),
        lambda rows: rows.filter(Q(pk__in=range(MANY)) & Q(pages__in=range(MANY))).order_by("pk"),
        lambda rows: rows.filter(pk__in=[*range(100), None]).order_by("pk"),
        lambda rows: rows.filter(rating__in=[0.5, 1, Decimal("2.5"), "3"]).order_by("pk"),
        lambda rows: rows.filter(tags__in=Tag.objects.all()).distinct().order_by("pk"),
        lambda rows: (
            rows.filter(authors__in=[Author(pk=1), Author(pk=2)]).distinct().order_by("pk")
        ),
    ]


@cases.reading(Everything)
def inside_native_code() -> list[Any]:
    def iterated(rows: Any) -> Any:
        return [each.pk for each in rows.order_by("pk").iterator(chunk_size=3)]

    def prefetched(rows: Any) -> Any:
        return list(Book.objects.prefetch_related("tags").order_by("pk").iterator(chunk_size=4))

    def indexed(rows: Any) -> Any:
        found = rows.order_by("pk")
        return [found[3], found[1:8:3], len(found), bool(found), found[0] in found]

    def cached(rows: Any) -> Any:
        found = rows.order_by("pk")
        return [list(found), found.count(), found.exists(), found[2], found.first()]

    def nested(rows: Any) -> Any:
        return [
            (each.name, [book.title for book in each.books.order_by("pk")])
            for each in Publisher.objects.all()
        ]

    def several(rows: Any) -> Any:
        return (
            Cheap.objects.values_list("pk"),
            Edition.objects.aggregate(Sum("printed"), Max("number")),
            Person.objects.order_by("pk").values("name"),
        )

    return [iterated, prefetched, indexed, cached, nested, several]


@cases.reading(Book)
def explained() -> list[Any]:
    return [
        lambda rows: rows.filter(pages__gt=100).explain(costs=False),
        lambda rows: rows.filter(title="A Loop", price__lt=Decimal(5)).explain(costs=False),
        lambda rows: rows.filter(publisher__country="US").explain(costs=False, verbose=True),
        lambda rows: rows.filter(pk__in=[1, 2]).explain(format="json", costs=False),
        lambda rows: rows.filter(released__year=2023).explain(format="yaml", costs=False),
        lambda rows: rows.annotate(n=Count("tags")).order_by("n").explain(costs=False),
        lambda rows: rows.filter(pk=1).explain(
            analyze=True, costs=False, timing=False, summary=False, buffers=False
        ),
    ]


@cases.failing(Book)
def shapes_that_fail() -> list[Any]:
    short = Book.objects.filter(pages__lt=80)
    return [
        lambda rows: rows.get(pk=99),
        lambda rows: rows.get(pages__gt=1),
        lambda rows: rows.values("nothing"),
        lambda rows: rows.order_by("nothing"),
        lambda rows: rows.only("nothing").order_by("pk"),
        lambda rows: rows.values_list("pk", "title", flat=True),
        lambda rows: rows.values_list("pk", named=True, flat=True),
        lambda rows: rows.order_by("pk")[-1],
        lambda rows: rows.order_by("pk")[:3].filter(pk=1),
        lambda rows: rows.union(short).filter(pk=1),
        lambda rows: rows.values("pk").union(short.values("pk", "title")).order_by("pk"),
        lambda rows: rows.values("title").union(Person.objects.values("pk")).order_by("title"),
        lambda rows: rows.distinct("publisher").order_by("title"),
        lambda rows: rows.in_bulk(field_name="title"),
        lambda rows: rows.raw("SELECT title FROM differential_book"),
        lambda rows: rows.raw("SELEKT 1"),
        lambda rows: rows.raw("SELECT * FROM no_such_table"),
        lambda rows: rows.raw("SELECT * FROM differential_book WHERE id = %s", []),
        lambda rows: rows.raw("SELECT * FROM differential_book WHERE id = %s", [1, 2]),
        lambda rows: rows.raw("SELECT * FROM differential_book WHERE id = %(a)s", {"b": 1}),
        lambda rows: rows.raw("SELECT * FROM differential_book WHERE title LIKE '100%'", []),
        lambda rows: rows.raw("SELECT * FROM differential_book WHERE id = %s", ["x"]),
        lambda rows: rows.extra(where=["nothing > 1"]).order_by("pk"),
        lambda rows: rows.extra(select={"x": "1/0"}).order_by("pk"),
        lambda rows: rows.extra(tables=["no_such_table"]).order_by("pk"),
        lambda rows: rows.explain(format="nothing"),
        lambda rows: rows.explain(nothing=True),
        lambda rows: rows.dates("nothing", "year"),
        lambda rows: rows.contains(5),
        lambda rows: rows.contains(Book()),
        lambda rows: rows.filter(pk=-1).latest(),
        lambda rows: rows.get(pk=1, nothing=2),
    ]
