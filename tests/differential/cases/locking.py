"""``select_for_update`` and what another session may do meanwhile."""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction
from django.db.models import F

from tests.differential.case import Cases
from tests.differential.database import outside
from tests.differential.models import Author, Book

cases = Cases()


def beside(statement: str, function: Any) -> Any:
    """The function, while another session has run the statement and not ended its transaction."""

    def run(rows: Any) -> Any:
        with outside() as other:
            other.autocommit = False
            other.execute(statement)
            try:
                return list(function(rows))
            finally:
                other.rollback()

    return run


LOCK_THREE = "SELECT FROM differential_book WHERE id <= 3 FOR UPDATE"
SHARE_THREE = "SELECT FROM differential_book WHERE id <= 3 FOR KEY SHARE"


@cases.writing(Book)
def locks() -> list[Any]:
    return [
        lambda rows: rows.select_for_update().order_by("pk"),
        lambda rows: rows.select_for_update().get(pk=1),
        lambda rows: rows.select_for_update().order_by("pk")[:2],
        lambda rows: rows.select_for_update(no_key=True).order_by("pk"),
        lambda rows: rows.select_for_update(nowait=True).filter(pages__gt=100).order_by("pk"),
        lambda rows: rows.select_for_update(skip_locked=True).order_by("pk").values("title"),
        lambda rows: (
            rows.select_related("publisher").select_for_update(of=("self",)).order_by("pk")
        ),
        lambda rows: (
            rows.select_related("category")
            .select_for_update(of=("self", "category"))
            .filter(category__isnull=False)
            .order_by("pk")
        ),
        lambda rows: rows.select_for_update().prefetch_related("tags").order_by("pk"),
        lambda rows: rows.select_for_update(of=()).first(),
        beside(LOCK_THREE, lambda rows: rows.select_for_update(skip_locked=True).order_by("pk")),
        beside(LOCK_THREE, lambda rows: rows.order_by("pk")),
        beside(SHARE_THREE, lambda rows: rows.select_for_update(no_key=True).order_by("pk")),
        beside(SHARE_THREE, lambda rows: rows.select_for_update(skip_locked=True).order_by("pk")),
    ]


@cases.writing(Author)
def locks_of_several_tables() -> list[Any]:
    return [
        lambda rows: rows.select_for_update().order_by("pk"),
        lambda rows: rows.select_for_update(of=("self",)).order_by("pk"),
        lambda rows: rows.select_for_update(of=("self", "person_ptr")).order_by("pk"),
        lambda rows: (
            rows.filter(books__pages__gt=100).select_for_update(of=("self",)).order_by("pk")
        ),
    ]


@cases.refused(Book)
def locks_that_fail() -> list[Any]:
    def timed_out(rows: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '10ms'")
        return list(rows.select_for_update().order_by("pk"))

    def too_slow(rows: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '10ms'")
        return rows.extra(where=["pg_sleep(5) IS NULL"]).count()

    return [
        beside(LOCK_THREE, lambda rows: rows.select_for_update(nowait=True).order_by("pk")),
        beside(LOCK_THREE, timed_out),
        too_slow,
        lambda rows: rows.select_for_update(nowait=True, skip_locked=True),
        lambda rows: rows.select_for_update(of=("nothing",)).order_by("pk"),
        lambda rows: rows.select_related("publisher").select_for_update().order_by("pk"),
        lambda rows: rows.distinct().select_for_update().order_by("pk"),
    ]


@cases.failing(Book)
def changed_meanwhile() -> list[Any]:
    def of(level: str) -> Any:
        def run(rows: Any) -> Any:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
                list(rows.order_by("pk"))
                with outside() as other:
                    # Another version of the row, with the same contents.
                    other.execute("UPDATE differential_book SET pages = pages WHERE id = 1")
                return rows.filter(pk=1).update(pages=F("pages"))

        return run

    return [of("REPEATABLE READ"), of("SERIALIZABLE")]


@cases.failing(Book)
def locks_without_a_transaction() -> list[Any]:
    return [
        lambda rows: rows.select_for_update().order_by("pk"),
        lambda rows: rows.select_for_update().get(pk=1),
    ]
