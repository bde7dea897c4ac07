"""What fails, and transactions, inside others that are rolled back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q
from psycopg.types.range import Range

from tests.differential.case import Cases
from tests.differential.cases.values import book
from tests.differential.data import at
from tests.differential.models import (
    Authorship,
    Book,
    Booking,
    Edition,
    Marked,
    Publisher,
)

cases = Cases()


@cases.writing(Booking)
def transactions() -> list[Any]:
    def savepoints(rows: Any) -> Any:
        rows.filter(pk=1).update(code="a")
        point = transaction.savepoint()
        rows.filter(pk=2).update(code="b")
        transaction.savepoint_rollback(point)
        point = transaction.savepoint()
        rows.filter(pk=3).update(code="c")
        transaction.savepoint_commit(point)
        return rows.order_by("pk").values_list("code", flat=True)

    def caught(rows: Any) -> Any:
        try:
            with transaction.atomic():
                rows.filter(pk=1).update(code="lost")
                rows.create(pk=2)
        except Exception as error:
            return [error, rows.order_by("pk").values_list("code", flat=True)]
        return None

    def marked(rows: Any) -> Any:
        with transaction.atomic():
            rows.all().delete()
            transaction.set_rollback(True)
        return rows.count()

    def deferred_constraints(rows: Any) -> Any:
        rows.filter(pk=1).update(queue=2)
        rows.filter(pk=2).update(queue=1)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        return rows.order_by("pk").values_list("queue", flat=True)

    def by_hand(rows: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE differential_booking SET code = %s WHERE room = %s", ["%", 1])
            counted = cursor.rowcount
            cursor.execute("SELECT id, code, lower(during) FROM differential_booking ORDER BY id")
            names = [each[0] for each in cursor.description]
            first, some = cursor.fetchone(), cursor.fetchmany(2)
            rest = list(cursor)
            cursor.executemany(
                "INSERT INTO differential_booking (room, during, code, queue)"
                " VALUES (%s, %s, %s, %s)",
                [(5, Range(at(2025, 1, n), at(2025, 1, n, 5)), "x", 50 + n) for n in (1, 2)],
            )
            return [counted, names, first, some, rest, cursor.rowcount]

    def in_between(rows: Any) -> Any:
        return [
            connection.in_atomic_block,
            transaction.get_autocommit(),
            [each.pk for each in rows.filter(Q(room=1)).order_by("pk").iterator(1)],
            list(Authorship.objects.filter(book=1).values("position").order_by("position")),
        ]

    return [savepoints, caught, marked, deferred_constraints, by_hand, in_between]


@cases.refused(Book)
def what_the_database_refuses() -> list[Any]:
    def unique(rows: Any) -> Any:
        Publisher.objects.create(name="Acme", country="US", founded="2000-01-01")

    def together(rows: Any) -> Any:
        Authorship.objects.create(book_id=1, author_id=2)

    def not_null(rows: Any) -> Any:
        Publisher.objects.create(name="Null", country=None, founded="2000-01-01")

    def check(rows: Any) -> Any:
        Marked.objects.filter(pk=1).update(amount=-1)

    def exclusion(rows: Any) -> Any:
        Booking.objects.create(room=1, during=Range(at(2024, 1, 1), at(2024, 1, 9)), queue=9)

    def foreign_key(rows: Any) -> Any:
        rows.create(**book(publisher_id=12345))
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def deferred(rows: Any) -> Any:
        Booking.objects.filter(pk=1).update(queue=2)
        connection.check_constraints()

    def too_long(rows: Any) -> Any:
        Booking.objects.filter(pk=1).update(code="much too long")

    def broken(rows: Any) -> Any:
        try:
            unique(rows)
        except Exception:
            return rows.count()

    def composite(rows: Any) -> Any:
        return Edition.objects.create(book_id=2, number=1)

    return [
        unique,
        together,
        not_null,
        check,
        exclusion,
        foreign_key,
        deferred,
        too_long,
        broken,
        composite,
        lambda rows: rows.create(title="no price"),
        lambda rows: rows.create(**book(title="x" * 101)),
        lambda rows: rows.create(**book(price=Decimal("1e9"))),
        lambda rows: rows.create(**book(price="x")),
        lambda rows: rows.create(**book(pages=2**40)),
        lambda rows: rows.create(**book(pages=-5)),
        lambda rows: rows.create(**book(title="nul\x00")),
        lambda rows: rows.create(**book(about={"nul": "\x00"})),
        lambda rows: rows.create(**book(rating="x")),
        lambda rows: rows.create(**book(published="x")),
        lambda rows: rows.create(**book(released=5)),
        lambda rows: rows.create(**book(publisher=Publisher(name="unsaved"))),
        lambda rows: rows.create(**book(nothing=1)),
        lambda rows: rows.create(pk=1, **book()),
        lambda rows: rows.update(pages=-1),
        lambda rows: rows.update(price=F("price") / 0),
        lambda rows: rows.update(title=F("authors__name")),
        lambda rows: rows.update(nothing=1),
        lambda rows: rows.update(pages=F("pages") + 2**31),
        lambda rows: rows.update(title=None),
        lambda rows: rows.order_by("pk")[:3].update(pages=1),
        lambda rows: rows.order_by("pk")[:3].delete(),
        lambda rows: rows.bulk_create([rows.model(pk=1, **book())]),
        lambda rows: rows.bulk_create([rows.model(pk=800, **book(pages=-1))]),
        lambda rows: rows.bulk_create([rows.model(**book(title="x" * 101))]),
        lambda rows: rows.bulk_create([rows.model(**book(price="x"))]),
        lambda rows: rows.bulk_create([rows.model()]),
        lambda rows: rows.bulk_create([rows.model(**book(title="nul\x00"))]),
        lambda rows: rows.bulk_create([rows.model(pk=800, **book(title="nul\x00"))]),
        lambda rows: rows.bulk_create(
            [rows.model(**book())], ignore_conflicts=True, update_conflicts=True
        ),
        lambda rows: rows.bulk_create([], batch_size=-1),
        lambda rows: rows.bulk_update([rows.model(pk=1, pages=-1)], ["pages"]),
        lambda rows: rows.bulk_update([rows.model()], ["pages"]),
        lambda rows: rows.bulk_update([rows.model(pk=1)], ["pk"]),
        lambda rows: rows.get_or_create(title="The Pool"),
        lambda rows: rows.get_or_create(title="Incomplete"),
        lambda rows: rows.update_or_create(title="A Loop", defaults={"pages": -1}),
    ]


@cases.refused(Publisher)
def what_django_refuses() -> list[Any]:
    def unsaved(rows: Any) -> Any:
        return rows.model().delete()

    def gone(rows: Any) -> Any:
        one = rows.get(pk=4)
        rows.filter(pk=4).delete()
        one.refresh_from_db()

    def not_there(rows: Any) -> Any:
        rows.model(pk=99, name="x", country="X", founded="2000-01-01").save(force_update=True)

    def wrong_kind(rows: Any) -> Any:
        Book.objects.get(pk=1).tags.add(rows.get(pk=1))

    def in_a_broken_block(rows: Any) -> Any:
        transaction.set_rollback(True)
        return rows.count()

    return [
        unsaved,
        gone,
        not_there,
        wrong_kind,
        in_a_broken_block,
        lambda rows: rows.filter(pk=1).delete(),
        lambda rows: rows.filter(pk=1).update(books=5),
        lambda rows: rows.values("pk").delete(),
        lambda rows: rows.distinct("country").delete(),
    ]
