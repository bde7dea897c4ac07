"""Many instances at once, inside transactions that are rolled back."""

from __future__ import annotations

import datetime
import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models import F, Value
from psycopg.types.range import Range

from tests.differential.case import Cases
from tests.differential.cases.values import everything
from tests.differential.models import (
    Everything,
    Particular,
    Publisher,
    Tag,
)
from tests.differential.worlds import moment

cases = Cases()


@cases.writing(Everything)
def bulk_create() -> list[Any]:
    def of(count: int, **more: Any) -> Any:
        def run(rows: Any) -> Any:
            made = [rows.model(**everything(small=n)) for n in range(count)]
            found = rows.bulk_create(made, **more)
            return [found, [each.pk for each in found]]

        return run

    def with_keys(rows: Any) -> Any:
        return rows.bulk_create([rows.model(pk=600 + n, **everything()) for n in range(3)])

    def some_with_keys(rows: Any) -> Any:
        return rows.bulk_create([rows.model(pk=600, char="a"), rows.model(char="b")])

    def empty(rows: Any) -> Any:
        return rows.bulk_create([rows.model(), rows.model(json=None), rows.model(char="")])

    def expressions(rows: Any) -> Any:
        return rows.bulk_create([rows.model(integer=Value(1) + 2), rows.model(integer=5)]) and list(
            rows.order_by("-pk").values("integer")[:2]
        )

    def texts(rows: Any) -> Any:
        made = ["", "\\N", "a\tb", "a\nb", "\\.", "'", "%s", "☕", '"', "\r", "\\", "NULL", "\x01"]
        rows.bulk_create([rows.model(char=each, text=each) for each in made])
        rows.bulk_create([rows.model(pk=700 + n, text=each) for n, each in enumerate(made)])
        return list(rows.order_by("-pk").values_list("char", "text")[:30])

    return [
        of(0),
        of(1),
        of(3),
        of(7, batch_size=3),
        with_keys,
        some_with_keys,
        empty,
        expressions,
        texts,
    ]


@cases.writing(Tag)
def bulk_create_on_conflict() -> list[Any]:
    def tags(rows: Any) -> list[Any]:
        return [
            rows.model(id=uuid.UUID(int=900 + n), label=label)
            for n, label in enumerate(["new", "fresh", "rare"])
        ]

    return [
        lambda rows: rows.bulk_create(tags(rows), ignore_conflicts=True),
        lambda rows: rows.bulk_create(tags(rows)[1:2]),
        lambda rows: rows.bulk_create([rows.model(label="own default", id=uuid.UUID(int=5000))]),
    ]


@cases.writing(Publisher)
def upserts() -> list[Any]:
    def made(rows: Any) -> list[Any]:
        day = datetime.date(2000, 1, 1)
        names = ["Acme", "Brand New", "Éditions"]
        return [rows.model(name=each, country="XX", founded=day) for each in names]

    def updated(rows: Any) -> Any:
        return rows.bulk_create(
            made(rows),
            update_conflicts=True,
            unique_fields=["name"],
            update_fields=["country", "founded"],
        )

    def ignored(rows: Any) -> Any:
        return rows.bulk_create(made(rows), ignore_conflicts=True, batch_size=2)

    return [updated, ignored]


@cases.writing(Particular)
def particular_values() -> list[Any]:
    def values(**more: Any) -> dict[str, Any]:
        return {
            "words": ["a", "b'c", "%s", "", "NULL", "{x}", '"', "\\"],
            "numbers": [1, None, 3],
            "matrix": [[1, 2], [3, 4]],
            "days": [datetime.date(2024, 1, 1)],
            "moments": [moment(2024, 3, 31, 1, 30)],
            "amounts": [Decimal("1.50")],
            "ids": [uuid.UUID(int=1)],
            "addresses": ["10.0.0.1"],
            "flags": [True, False, True],
            "blobs": [b"\x00'", b""],
            "spans": [timedelta(1)],
            "facts": [{"a": 1}, "t", None],
            "choice_list": [0.5, 1e-5],
            "store": {"a": "1", "b": None, 'q"': "'%"},
            "int_range": (1, 5),
            "big_range": Range(2**40, None),
            "decimal_range": Range(Decimal("1.5"), 2, "(]"),
            "date_range": (datetime.date(2024, 1, 1), None),
            "moment_range": Range(moment(2024, 1, 1), moment(2024, 1, 2)),
            "ranges": [Range(1, 2), Range(empty=True)],
            "insensitive": "One",
            "collated": "z",
            "mac": "08:00:2b:01:02:03",
            **more,
        }

    def one(rows: Any) -> Any:
        made = rows.create(**values())
        return [made, rows.get(pk=made.pk)]

    def of(name: str) -> Any:
        return lambda rows: rows.filter(pk__lt=3).update(**{name: values()[name]})

    def many(rows: Any) -> Any:
        rows.bulk_create([rows.model(**values()), rows.model(), rows.model(**values(words=[]))])
        return rows.filter(pk__gt=9).order_by("pk")

    def many_with_keys(rows: Any) -> Any:
        rows.bulk_create([rows.model(pk=50, **values()), rows.model(pk=51)])
        return rows.filter(pk__gte=50).order_by("pk")

    def changed(rows: Any) -> Any:
        found = list(rows.order_by("pk"))
        for each in found:
            each.words, each.store, each.int_range = ["%s"], {"k": "v"}, Range(2, 3)
        return [rows.bulk_update(found, ["words", "store", "int_range"]), rows.order_by("pk")]

    return [one, many, many_with_keys, changed, *[of(name) for name in values()]]


@cases.writing(Everything)
def bulk_update() -> list[Any]:
    def of(*fields: str, **more: Any) -> Any:
        def run(rows: Any) -> Any:
            found = list(rows.order_by("pk")[:4])
            new = everything()
            for n, each in enumerate(found):
                for name in fields:
                    setattr(each, name, None if n == 2 else new[name])
            return [rows.bulk_update(found, fields, **more), rows.order_by("pk")]

        return run

    def expressed(rows: Any) -> Any:
        found = list(rows.order_by("pk")[:3])
        for each in found:
            each.integer = F("integer") + each.pk
        return [rows.bulk_update(found, ["integer"]), rows.order_by("pk").values("integer")]

    return [of(name) for name in everything()] + [
        of("char", "integer", "moment", "json", "uuid", "money"),
        of("text", "decimal", batch_size=2),
        expressed,
        lambda rows: rows.bulk_update([], ["char"]),
    ]
