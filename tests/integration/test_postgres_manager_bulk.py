"""``abulk_create`` and ``acopy``: by COPY, by arrays, or by Django's own INSERT."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import decimal
import enum
import gc
import itertools
import json
import tracemalloc
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from django.db import DataError, IntegrityError, connections, transaction
from django.db.backends.postgresql.psycopg_any import NumericRange
from django.db.models import F, TextField, Value
from django.db.models.functions import Lower
from django.test import override_settings
from django.utils import timezone
from django.utils.functional import lazystr
from django.utils.safestring import SafeString

from poolapp import pools
from poolapp.core.config import Options
from poolapp.managers.postgres.records import NotCopyable, columns_of
from tests.ledger import config
from tests.real import pool_of
from tests.rows.fixtures import rows_emptied, rows_tables  # noqa: F401
from tests.rows.models import (
    Article,
    Author,
    Everything,
    Level,
    Made,
    Odd,
    Place,
    Restaurant,
    Seat,
    Span,
    Tag,
)  # fmt: skip

Told = Callable[[], Awaitable[list[str]]]
NOW = datetime.datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=datetime.UTC)
VALUES: dict[str, list[Any]] = {
    "small": [None, -32768, True],
    "whole": [0, 2147483647, "12"],
    "big": [None, 2**63 - 1, 5],
    "real": [1.5, float("inf"), 3],
    "exact": [decimal.Decimal("1.500"), decimal.Decimal("-0.001"), 7],
    "is_on": [None, True, False],
    "name": ["", "ünïcödé 漢字 \\N\t\n", 12],
    "slug": ["a", "b", "c"],
    "day": [NOW.date(), datetime.date(2, 1, 1), NOW],
    "hour": [NOW.time(), datetime.time.max, "12:30"],
    "moment": [NOW.astimezone(datetime.timezone(datetime.timedelta(hours=5))), None, str(NOW)],
    "lasts": [datetime.timedelta(days=-3, microseconds=1), datetime.timedelta.max, None],
    "data": [None, {"a": [1, None, "\\u00e9"]}, "text"],
    "address": ["::1", "10.0.0.1", None],
    "raw": [b"\x00\xff", memoryview(b"seen"), bytearray(b"")],
    "numbers": [[1, None], [], None],
    "words": [[["a", "b"], ["c", "d"]], [], None],
    "loud": ["quiet", None, "LOUD"],
}  # fmt: skip


@pytest.fixture
async def told(rows_emptied: None, pg_admin: Any) -> AsyncIterator[Told]:  # noqa: F811
    """What the server says of the statements that have inserted rows since it was last asked."""
    await pg_admin.execute(
        "DROP TABLE IF EXISTS rows_told; CREATE TABLE rows_told (number serial, statement text);"
        "CREATE OR REPLACE FUNCTION rows_tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO rows_told (statement) VALUES (current_query()); RETURN NULL; END $$"
    )
    for (table,) in await pg_admin.fetch(
        "SELECT quote_ident(relname) FROM pg_class WHERE relname LIKE 'rows_%' AND relkind = 'r'"
        " AND relname <> 'rows_told'"
    ):
        await pg_admin.execute(
            f"CREATE TRIGGER tell BEFORE INSERT ON {table} EXECUTE FUNCTION rows_tell()"
        )

    async def tell() -> list[str]:
        rows = await pg_admin.fetch("DELETE FROM rows_told RETURNING number, statement")
        return [row["statement"] for row in sorted(rows)]

    yield tell
    await pg_admin.execute("DROP FUNCTION rows_tell CASCADE; DROP TABLE rows_told")


def is_copy(statement: str) -> bool:
    return statement.startswith("COPY ") and statement.endswith(" FROM STDIN (FORMAT binary)")


def is_arrays(statement: str) -> bool:
    return "SELECT * FROM unnest($1::" in statement and "RETURNING" in statement


async def natively(function: Callable[..., Any], *args: Any) -> Any:
    return await pools["default"].natively(function, *args)


# -- by COPY ---------------------------------------------------------------------------------------


async def test_instances_with_their_keys_go_by_copy(told: Told) -> None:
    objs = [Tag(pk=number, name=f"tag {number}") for number in range(1, 101)]
    made = await Tag.rows.abulk_create(objs)
    (statement,) = await told()
    assert statement == 'COPY "rows_tag" ("id", "name") FROM STDIN (FORMAT binary)'
    assert made == objs
    assert made[0] is objs[0]
    assert {(each._state.adding, each._state.db) for each in objs} == {(False, "default")}
    assert await Tag.rows.filter(name="tag 7").values_list("pk", flat=True).aget() == 7


class Size(enum.IntEnum):
    LARGE = 7


class Word(enum.StrEnum):
    LOUD = "loud"


@pytest.mark.parametrize(
    ("field", "value", "expected", "copied"),
    [
        ("size", True, 1, True),
        ("size", Size.LARGE, 7, True),
        ("size", 3.7, 3, True),
        ("size", decimal.Decimal("3.7"), 3, True),
        ("size", "5", 5, False),
        ("size", Value(4) + 1, 5, False),
        ("title", Word.LOUD, "loud", True),
        ("title", SafeString("safe"), "safe", True),
        ("title", lazystr("late"), "late", False),
        ("title", 12, "12", False),
        ("title", Lower(Value("LOUD")), "loud", False),
        ("created", "2024-02-29T12:30Z", None, True),
    ],
    ids=repr,
)
async def test_an_odd_value_among_thousands_of_plain_ones_arrives_as_by_django(
    told: Told, field: str, value: Any, expected: Any, copied: bool
) -> None:
    def objs() -> list[Article]:
        made = [Article(pk=n, title=f"title {n}", size=n) for n in range(1, 2502)]
        setattr(made[2000], field, value)
        return made

    async def stored() -> list[Any]:
        return [each async for each in Article.rows.order_by("pk").values_list("title", "size")]

    await natively(Article.objects.bulk_create, objs())
    by_django = await stored()
    await Article.rows.all().adelete()
    await told()
    await Article.rows.abulk_create(objs())
    assert all(map(is_copy, await told())) is copied
    assert await stored() == by_django
    if expected is not None:
        assert getattr(await Article.rows.aget(pk=2001), field) == expected


@pytest.mark.parametrize(
    ("value", "error"),
    [("no number", ValueError), (float("nan"), ValueError), (2**31, DataError)],
    ids=repr,
)
async def test_one_among_thousands_that_django_refuses_is_refused(
    value: Any, error: type[Exception]
) -> None:
    objs = [Article(pk=n, title=f"title {n}", size=n) for n in range(1, 2502)]
    objs[2000].size = value
    with pytest.raises(error):
        await natively(Article.objects.bulk_create, objs)
    with pytest.raises(error):
        await Article.rows.abulk_create(objs)
    assert await Article.rows.acount() == 0


async def test_without_returning_the_database_makes_keys_that_nobody_is_told(told: Told) -> None:
    objs = [Tag(name="a"), Tag(name="b"), Tag(pk=50, name="c")]
    await Tag.rows.abulk_create(objs, returning=False)
    assert [each.pk for each in objs] == [None, None, 50]
    assert [each._state.adding for each in objs] == [True, True, False]
    assert await told() == [
        'COPY "rows_tag" ("id", "name") FROM STDIN (FORMAT binary)',
        'COPY "rows_tag" ("name") FROM STDIN (FORMAT binary)',
    ]
    assert [each.pk async for each in Tag.rows.order_by("pk")] == [1, 2, 50]


async def test_every_kind_of_field_arrives_as_by_djangos_insert(told: Told, pg_admin: Any) -> None:
    await pg_admin.execute("SET timezone TO 'UTC'")

    def objs() -> list[Everything]:
        rows = zip(*VALUES.values(), strict=True)
        return [
            Everything(pk=uuid.UUID(int=number), **dict(zip(VALUES, row, strict=True)))
            for number, row in enumerate(rows)
        ]

    async def stored() -> list[Any]:
        rows = await pg_admin.fetch(
            "SELECT t::text, to_jsonb(t) j FROM rows_everything t ORDER BY id"
        )
        return [(row["t"], json.loads(row["j"])) for row in rows]

    await natively(Everything.objects.bulk_create, objs())
    by_django = await stored()
    assert not is_copy((await told())[0])
    await Everything.rows.all().adelete()
    await Everything.rows.abulk_create(objs())
    assert is_copy((await told())[0])
    assert await stored() == by_django
    assert by_django[0][1]["loud"] == "QUIET"


@pytest.mark.parametrize("end", [datetime.datetime.max, datetime.datetime.min])
async def test_the_end_of_the_calendar_is_no_infinity(end: Any, told: Told) -> None:
    moment = end.replace(tzinfo=datetime.UTC)
    for given in ({"day": end.date()}, {"day": str(end.date())}, {"moment": moment}):
        made = Everything(**given)
        await Everything.rows.abulk_create([made])
        assert await Everything.rows.filter(pk=made.pk, **given).aexists()


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "UTC"])
async def test_times_without_a_zone_are_those_of_the_servers_session(
    zone: str, told: Told, pg_admin: Any
) -> None:
    naive = [
        datetime.datetime(2024, month, day, hour, 30)
        for month, day in ((3, 10), (3, 31), (7, 1), (10, 27), (11, 3))
        for hour in range(4)
    ]
    with override_settings(USE_TZ=False, TIME_ZONE=zone):
        for model in (Everything.objects, Everything.rows):
            objs = [Everything(pk=uuid.uuid4(), whole=n, moment=at) for n, at in enumerate(naive)]
            await natively(model.bulk_create, objs)
        assert is_copy((await told())[-1])
    rows = await pg_admin.fetch(
        "SELECT whole, count(DISTINCT moment), count(*) FROM rows_everything GROUP BY whole"
    )
    assert {(row[1], row[2]) for row in rows} == {(1, 2)}


async def test_what_saving_sets_is_set(told: Told) -> None:
    ann = Author(name="Ann")
    objs = [Article(pk=number, title="one", author=ann) for number in (1, 2)]
    with pytest.raises(ValueError, match="unsaved related object 'author'"):
        await Article.rows.abulk_create(objs)
    await Author.rows.asave(ann)
    await told()
    before = timezone.now()
    await Article.rows.abulk_create(objs)
    assert is_copy((await told())[0])
    assert objs[0].author_id == ann.pk
    assert before <= objs[0].created <= timezone.now()
    assert (await Article.rows.aget(pk=1)).changed == objs[0].changed


async def test_names_that_have_to_be_quoted(told: Told) -> None:
    await Odd.rows.abulk_create([Odd(pk=9, name="x", order=3)])
    await Odd.rows.abulk_create([Odd(name="y")])
    assert [(each.name, each.order) async for each in Odd.rows.order_by("pk")] == [
        ("y", 0),
        ("x", 3),
    ]


async def test_composite_keys_and_keys_that_the_field_makes(told: Told) -> None:
    await Seat.rows.abulk_create([Seat(row=1, number=number) for number in range(3)])
    made = await Everything.rows.abulk_create([Everything(pk=None), Everything()])
    assert all(map(is_copy, await told()))
    assert await Seat.rows.acount() == 3
    assert all(isinstance(each.pk, uuid.UUID) for each in made)


async def test_a_size_of_batches_makes_several_in_one_transaction(
    told: Told, pg_admin: Any
) -> None:
    await Tag.rows.abulk_create([Tag(pk=number + 1, name="n") for number in range(25)], 10)
    assert len(await told()) == 3
    xmins = await pg_admin.fetchval("SELECT count(DISTINCT xmin::text) FROM rows_tag")
    assert xmins == 1
    with pytest.raises(ValueError, match="Batch size must be a positive integer"):
        await Tag.rows.abulk_create([Tag(pk=99)], batch_size=-1)


async def test_errors_are_djangos_and_leave_nothing_behind(told: Told) -> None:
    await Author.rows.abulk_create([Author(pk=1, name="Ann")])
    with pytest.raises(IntegrityError, match="rows_author_name_key"):
        await Author.rows.abulk_create([Author(pk=2, name="Bob"), Author(pk=3, name="Ann")])
    with pytest.raises(DataError, match="too long"):
        await Author.rows.abulk_create([Author(pk=2, name="Bob"), Author(pk=3, name="n" * 51)])
    with pytest.raises(DataError, match="out of range"):
        await Everything.rows.abulk_create([Everything(whole=2**31)])
    with pytest.raises(ValueError, match="Field 'whole' expected a number but got 'x'"):
        await Everything.rows.abulk_create([Everything(whole="x")])
    assert await Author.rows.acount() == 1
    assert await Everything.rows.acount() == 0


async def test_in_a_transaction_it_is_part_of_it(told: Told, pg_admin: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        async with pools["default"].atomic():
            await Tag.rows.abulk_create([Tag(pk=1, name="a")])
            assert await Tag.rows.acount() == 1
            assert await pg_admin.fetchval("SELECT count(*) FROM rows_tag") == 0
            1 / 0  # noqa: B018
    assert await Tag.rows.acount() == 0


# -- by arrays -------------------------------------------------------------------------------------


async def test_keys_that_the_database_makes_come_back(told: Told) -> None:
    ann = await Author.rows.acreate(name="Ann")
    await told()
    objs = [Article(title=f"title {n}", size=n, author=ann) for n in range(1, 301)]
    made = await Article.rows.abulk_create(objs)
    (statement,) = await told()
    assert is_arrays(statement)
    assert [each.pk for each in made] == list(range(1, 301))
    assert not made[0]._state.adding
    for each in (made[0], made[-1]):
        await each.arefresh_from_db(fields=["size"])
        assert each.size == each.pk


async def test_some_with_keys_and_some_without(told: Told) -> None:
    objs = [Tag(name="a"), Tag(pk=50, name="b"), Tag(name="c")]
    await Tag.rows.abulk_create(objs)
    assert [each.pk for each in objs] == [1, 50, 2]
    first, second = await told()
    assert is_copy(first)
    assert is_arrays(second)


async def test_defaults_of_the_database_come_back(told: Told) -> None:
    objs = [Level(name="a"), Level(name="b")]
    await Level.rows.abulk_create(objs)
    assert [each.level for each in objs] == [7, 7]
    assert is_arrays((await told())[0])
    await Level.rows.abulk_create([Level(name="c", level=1), Level(name="d", level=2)])
    assert is_copy((await told())[0])
    await Level.rows.abulk_create([Level(name="e")], returning=False)
    assert is_copy((await told())[0])
    levels = Level.rows.order_by("name").values_list("level", flat=True)
    assert [each async for each in levels] == [7, 7, 1, 2, 7]


# -- by Django -------------------------------------------------------------------------------------


async def test_what_only_django_can_do_it_does(told: Told) -> None:
    mixed = [Level(name="a"), Level(name="b", level=1)]
    await Level.rows.abulk_create(mixed)
    made = await Made.rows.abulk_create([Made(name="new"), Made(name="old", level=1)])
    await Tag.rows.abulk_create([Tag(pk=1, name=Lower(Value("LOUD")))])
    await Span.rows.abulk_create([Span(pk=1, span=NumericRange(1, 5))])
    assert not any(is_copy(each) or is_arrays(each) for each in await told())
    assert [each.level for each in mixed] == [7, 1]
    assert [(each.level, each.shouted) for each in made] == [(7, "NEW"), (1, "OLD")]
    assert (await Tag.rows.aget()).name == "loud"
    assert (await Span.rows.aget(span__contains=3)).span == NumericRange(1, 5)
    with pytest.raises(ValueError, match="multi-table inherited model"):
        await Restaurant.rows.abulk_create([Restaurant(name="x")])
    assert await Place.rows.abulk_create([]) == []


async def test_conflicts_are_ignored_or_updated(told: Told) -> None:
    await Author.rows.abulk_create([Author(pk=1, name="Ann")])
    await Author.rows.abulk_create([Author(name="Ann"), Author(name="Bob")], ignore_conflicts=True)
    again = [Author(pk=1, name="Cat"), Author(pk=9, name="Dan")]
    await Author.rows.abulk_create(
        again, update_conflicts=True, unique_fields=["pk"], update_fields=["name"]
    )
    names = Author.rows.order_by("name").values_list("name", flat=True)
    assert [each async for each in names] == ["Bob", "Cat", "Dan"]
    with pytest.raises(ValueError, match="mutually exclusive"):
        await Author.rows.abulk_create(again, ignore_conflicts=True, update_conflicts=True)


@pytest.mark.parametrize("inside", [False, True])
async def test_a_view_and_a_table_with_policies_take_no_copy(
    inside: bool, told: Told, pg_admin: Any
) -> None:
    await pg_admin.execute(
        "ALTER TABLE rows_tag RENAME TO rows_tag_real;"
        "CREATE VIEW rows_tag AS SELECT * FROM rows_tag_real"
    )
    try:
        if inside:
            async with pools["default"].atomic():
                await Tag.rows.abulk_create([Tag(pk=1, name="a")])
                assert await Tag.rows.acount() == 1
        else:
            await Tag.rows.abulk_create([Tag(pk=1, name="a")])
        assert not is_copy((await told())[0])
        assert await Tag.rows.acount() == 1
    finally:
        await pg_admin.execute("DROP VIEW rows_tag; ALTER TABLE rows_tag_real RENAME TO rows_tag")


async def test_a_column_of_another_type_than_the_fields_is_left_to_django(
    told: Told, pg_admin: Any
) -> None:
    await pg_admin.execute("ALTER TABLE rows_tag ALTER name TYPE int USING 0")
    try:
        await Tag.rows.abulk_create([Tag(pk=1, name="12")], returning=False)
        assert await pg_admin.fetchval("SELECT name FROM rows_tag") == 12
    finally:
        await pools["default"].close()
        await pg_admin.execute("ALTER TABLE rows_tag ALTER name TYPE varchar(50)")


async def test_natively_the_synchronous_one_does_the_same(told: Told) -> None:
    def work() -> None:
        with transaction.atomic():
            Tag.rows.bulk_create([Tag(pk=1, name="a")])
            try:
                Tag.rows.bulk_create([Tag(pk=1, name="b")])
            except IntegrityError:
                Tag.rows.bulk_create([Tag(pk=2, name="c")])

    await natively(work)
    assert all(map(is_copy, await told()))
    assert [each.name async for each in Tag.rows.order_by("pk")] == ["a", "c"]


# -- streams ---------------------------------------------------------------------------------------


async def some(count: int) -> AsyncIterator[Tag]:
    for number in range(count):
        yield Tag(name=f"tag {number}")


async def test_an_async_iterable_is_created_batch_by_batch(told: Told) -> None:
    made = await Tag.rows.abulk_create(some(25), 10)
    assert [each.pk for each in made] == list(range(1, 26))
    assert len(await told()) == 3
    copied = await Article.rows.abulk_create(
        (Article(title=each.name) async for each in Tag.rows.order_by("pk").aiterator()),
        returning=False,
    )
    assert len(copied) == await Article.rows.acount() == 25


async def test_a_stream_that_fails_leaves_nothing(told: Told) -> None:
    async def broken() -> AsyncIterator[Tag]:
        async for each in some(15):
            yield each
        raise ConnectionError("the source is gone")

    for call in (Tag.rows.abulk_create, Tag.rows.acopy):
        with pytest.raises(ConnectionError):
            await call(broken(), 10)
    assert await Tag.rows.acount() == 0
    assert pools["default"].in_use == 0


async def test_the_lease_of_a_stream_names_the_users_line(told: Told) -> None:
    async def source() -> AsyncIterator[Tag]:
        yield Tag(name="a")
        (lease,) = pools["default"].leases()
        assert "in test_the_lease_of_a_stream_names_the_users_line" in lease.site
        yield Tag(name="b")

    assert await Tag.rows.acopy(source(), batch_size=1) == 2
    assert len(await Tag.rows.abulk_create(source(), 1)) == 2


@pytest.mark.parametrize("turns", range(0, 16, 2))
async def test_a_cancel_at_any_turn_leaves_all_or_nothing(
    turns: int, told: Told, pg_admin: Any
) -> None:
    assert await Tag.rows.acount() == 0  # a connection is open
    objs = [Tag(pk=number, name="n" * 50) for number in range(1, 5001)]
    task = asyncio.create_task(Tag.rows.abulk_create(objs, 2000))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert pools["default"].in_use == 0
    assert await Tag.rows.acount() in (0, 5000)
    left = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    assert await pg_admin.fetchval(left) == 0, "the pool lends no connection in a transaction"


async def in_its_own_way(connection: Any) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=lambda value: "[]", decoder=json.loads
    )


@pytest.mark.parametrize("cached", [100, 0])
async def test_codecs_of_the_users_and_no_prepared_statements_make_no_difference(
    cached: int, told: Told, monkeypatch: Any
) -> None:
    monkeypatch.setitem(connections.settings, "second", {**connections.settings["default"]})
    options = Options({"init": in_its_own_way, "statement_cache_size": cached})
    async with pool_of(config("second", "second", options=options)):
        rows = Everything.rows.using("second")
        for number in range(2):
            made = await rows.abulk_create([Everything(whole=number, data={"a": number})])
            assert (await rows.aget(pk=made[0].pk)).data == {"a": number}
    assert all(map(is_copy, await told()))


async def test_a_copy_holds_no_more_than_a_batch(told: Told) -> None:
    tags = (Tag(name="n" * 40) for _ in range(10_000))
    await Tag.rows.acopy(itertools.islice(tags, 500), 500)
    gc.collect()
    tracemalloc.start()
    try:
        assert await Tag.rows.acopy(tags, 500) == 9_500
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 3_000_000, "all of them are some 8 megabytes"
    assert all(map(is_copy, await told()))
    assert await Tag.rows.acopy(some(12), batch_size=5) == 12
    assert await Tag.rows.acopy([]) == 0
    assert await Tag.rows.acount() == 10_012
    with pytest.raises(ValueError, match="positive integer"):
        await Tag.rows.acopy(some(1), 0)


async def test_what_cannot_be_copied_is_inserted(told: Told) -> None:
    assert await Span.rows.acopy([Span(span=NumericRange(1, 2))]) == 1
    assert await Tag.rows.acopy([Tag(name=Lower(Value("X")))]) == 1
    assert (await Tag.rows.aget()).name == "x"
    assert await Tag.rows.aupdate(name=F("name")) == 1


@pytest.mark.filterwarnings("ignore:Field.get_placeholder is deprecated")
@pytest.mark.parametrize("name", ["get_placeholder", "get_placeholder_sql"])  # of Django 6.1
def test_a_field_with_sql_around_its_values_is_not_copied(name: str) -> None:
    def placeholder(self: Any, value: Any, compiler: Any, connection: Any) -> Any:
        raise AssertionError("nobody compiles")

    field = type("Quiet", (TextField,), {name: placeholder})(name="quiet")
    with pytest.raises(NotCopyable, match="quiet has SQL of its own"):
        columns_of([field], connections["default"])
