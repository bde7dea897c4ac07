"""How statements are run natively: errors, what is learnt of a statement, cursors."""

from __future__ import annotations

import asyncio
import decimal
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, connection, connections, transaction
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from poolapp import pools
from poolapp.conf.database import DatabaseLocation
from poolapp.testing import run_natively
from tests.real import config_of, pool_of

TABLE = """
DROP TABLE IF EXISTS native_things;
CREATE TABLE native_things (
    id int PRIMARY KEY, name varchar(10) NOT NULL, price numeric(7, 2) CHECK (price > 0),
    kin int REFERENCES native_things DEFERRABLE INITIALLY DEFERRED
);
INSERT INTO native_things SELECT n, 'n' || n, n FROM generate_series(1, 1000) n;
"""


@pytest.fixture(autouse=True)
def table(django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock():
        with connection.cursor() as cursor:
            cursor.execute(TABLE)
        yield
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE native_things")
        connection.close()


@pytest.fixture
def cursor() -> Iterator[Any]:
    with run_natively(), connection.cursor() as cursor:
        yield cursor


def count(cursor: Any, where: str) -> int:
    """Prepared statements of the session, but for the one that asks."""
    cursor.execute(
        "SELECT count(*) FROM pg_prepared_statements WHERE statement NOT LIKE '%pg_prepared%'"
        f" AND statement LIKE {where}"
    )
    found: int = cursor.fetchone()[0]
    return found


# -- errors ----------------------------------------------------------------------------------------

FAULTS: list[tuple[str, Any]] = [
    ("SELEC 1", None),
    ("SELECT nothing FROM native_things", None),
    ("SELECT nothing FROM native_things WHERE id = %s AND name = %s", [1, "it's"]),
    ("SELECT " + "1, " * 30 + "x", None),
    ("SELECT\n\t1,\n\tx + %s\nFROM native_things", ["long enough to be cut off " * 4]),
    ("SELECT * FROM nowhere", None),
    ("SELECT id FROM native_things WHERE id = %s", ["five"]),
    ("SELECT id FROM native_things WHERE name = %s AND id IN (%s, %s)", ["a", "1", "five"]),
    ("SELECT id FROM native_things WHERE id = %s", ["9999999999999"]),
    ("SELECT 1 / %s", [0]),
    ("SELECT %s::date", ["2020-02-30"]),
    ("SELECT length(%s, %s)", [1, 2]),
    ("SELECT 'a' + %s", [1]),
    ("INSERT INTO native_things VALUES (%s, %s)", [1, "again"]),
    ("INSERT INTO native_things VALUES (%s, %s)", [2000, "much too long a name"]),
    ("INSERT INTO native_things VALUES (%s, %s)", [2000, None]),
    ("INSERT INTO native_things VALUES (%s, %s, %s)", [2000, "x", -1]),
    ("INSERT INTO native_things VALUES (%s, %s, %s)", [2000, "x", decimal.Decimal("1e6")]),
    ("INSERT INTO native_things VALUES (%s, %s, %s, %s)", [2000, "x", 1, 5000]),
    ("UPDATE native_things SET id = %s", [1]),
    ("DO $$ BEGIN RAISE EXCEPTION 'no' USING HINT = 'try', DETAIL = 'more'; END $$", None),
    ("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'XY123'; END $$", None),
    ("DO $$ BEGIN PERFORM 1 / 0; END $$", None),
    ("SELECT %s", ["nul \x00"]),
    ("SELECT json_array_length(%s)", ["{"]),
    ("SELECT 1 FROM native_things GROUP BY price HAVING name = %s", ["x"]),
    ("CREATE TABLE native_things ()", None),
    ("SELECT 1; SELECT nothing", None),
]  # fmt: skip


def told(statement: str, params: Any) -> Any:
    """What is known of its error."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, params)
            cursor.fetchall()
    except DatabaseError as error:
        cause: Any = error.__cause__
        names = [
            "severity", "sqlstate", "message_primary", "message_detail", "message_hint",
            "schema_name", "table_name", "column_name", "datatype_name", "constraint_name",
        ]  # fmt: skip
        diagnosis = {name: getattr(cause.diag, name) for name in names}
        return type(error), type(cause), cause.sqlstate, str(error), diagnosis
    return "no error"


@pytest.mark.parametrize(("statement", "params"), FAULTS)
def test_an_error_says_what_that_of_djangos_driver_says(statement: str, params: Any) -> None:
    expected = told(statement, params)
    assert expected != "no error"
    with run_natively():
        assert told(statement, params) == expected
        again = told(statement, params)
    # Of a statement that is known the server says where in the text that it knows.
    assert (again[:3], again[4]) == (expected[:3], expected[4])


def test_an_error_can_be_pickled(cursor: Any) -> None:
    import pickle

    with pytest.raises(IntegrityError) as raised:
        cursor.execute("INSERT INTO native_things VALUES (1, 'x')")
    cause = pickle.loads(pickle.dumps(raised.value.__cause__))
    assert cause.diag.constraint_name == "native_things_pkey"


def test_a_statement_that_fails_ends_the_transaction_as_ever(cursor: Any) -> None:
    with pytest.raises(DatabaseError, match="aborted"), transaction.atomic():
        with pytest.raises(DatabaseError, match="nothing"):
            cursor.execute("SELECT nothing + %s", [1])
        connection.needs_rollback = False
        cursor.execute("SELECT 1")


def test_a_parameter_that_can_not_be_bound_leaves_the_transaction_whole(cursor: Any) -> None:
    """The server does not accept these with parameters; Django's driver has none."""
    with transaction.atomic():
        cursor.execute("SELECT INTERVAL %s", ["1 day"])
        cursor.execute("SELECT count(*) FROM native_things GROUP BY id %% %s, %s", [2, "x"])
        cursor.execute("SELECT %s", [1])
        assert cursor.fetchone() == (1,)


# -- what is learnt --------------------------------------------------------------------------------


def test_a_statement_is_prepared_once_whatever_its_values_and_the_length_of_a_list(
    cursor: Any,
) -> None:
    for ids in ([1, 2], [1, 2, 3], list(range(500))):
        marks = ", ".join(["%s"] * len(ids))
        cursor.execute(f"SELECT count(*) FROM native_things t WHERE t.id IN ({marks})", ids)
        assert cursor.fetchone()[0] == len([each for each in ids if each])
    assert count(cursor, "'%native_things t WHERE%'") == 1


def test_statements_that_group_by_a_parameter_are_prepared_too(cursor: Any) -> None:
    for number in (3, 4):
        cursor.execute(
            "SELECT id %% %s AS g, count(*) FROM native_things GROUP BY id %% %s ORDER BY g",
            [number, number],
        )
        assert len(cursor.fetchall()) == number
    assert count(cursor, "'%AS g, count%'") == 1


def test_a_table_that_changes_under_a_prepared_statement(cursor: Any) -> None:
    cursor.execute("SELECT * FROM native_things WHERE id = %s", [1])
    cursor.execute("ALTER TABLE native_things ALTER price TYPE int")
    cursor.execute("SELECT * FROM native_things WHERE id = %s", [1])
    assert cursor.fetchone() == (1, "n1", 1, None)


def test_a_change_that_is_rolled_back(cursor: Any) -> None:
    def price() -> Any:
        cursor.execute("SELECT * FROM native_things WHERE id = %s", [1])
        return cursor.fetchone()[2]

    for _ in range(2):
        with transaction.atomic():
            cursor.execute("ALTER TABLE native_things ALTER price TYPE int")
            assert type(price()) is int
            transaction.set_rollback(True)
        with transaction.atomic():
            assert type(price()) is decimal.Decimal


def test_names_that_get_another_meaning(cursor: Any) -> None:
    def names() -> Any:
        cursor.execute("SELECT * FROM native_things WHERE id < %s ORDER BY 1 LIMIT 1", [2])
        return [row[1] for row in cursor.fetchall()]

    with transaction.atomic():
        assert names() == ["n1"]
        cursor.execute("CREATE TEMP TABLE native_things ON COMMIT DROP AS SELECT 1 AS id, 5 AS b")
        assert names() == [5]
        cursor.execute("SET LOCAL search_path TO public, pg_temp")
        assert names() == ["n1"]
        cursor.execute("SET LOCAL search_path TO pg_temp, public")
        assert names() == [5]
        transaction.set_rollback(True)
    with transaction.atomic():
        assert names() == ["n1"]


async def test_a_change_by_another_process(django_db_blocker: Any, pg_admin: Any) -> None:
    def price() -> Any:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT * FROM native_things WHERE id = %s", [1])
            return cursor.fetchone()[2]

    async with only(max_size=1) as pool:
        assert type(await pool.natively(price)) is decimal.Decimal
        await pg_admin.execute("ALTER TABLE native_things ALTER price TYPE int")
        assert type(await pool.natively(price)) is int


def only(**settings: Any) -> Any:
    """The pool of the database, with these settings."""
    config = config_of("poolapp.backends.postgres.PostgresBackend", alias="default", **settings)
    return _replaced(config.replace(locations=DatabaseLocation("default")))


def _replaced(config: Any) -> Any:
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def replaced() -> AsyncIterator[Any]:
        before = pools.config("default")
        await pools.remove("default")
        try:
            async with pool_of(config) as pool:
                yield pool
        finally:
            pools.register("default", before)

    return replaced()


async def codecs_of_a_users_own(connection: Any) -> None:
    for name in ("int4", "text", "date", "jsonb", "numeric"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=lambda _: "0", decoder=lambda _: "mine"
        )


async def test_a_users_codecs_are_the_users(django_db_blocker: Any) -> None:
    query = "SELECT %s, %s, %s, '{}'::jsonb, DATE '2020-01-01', '(1,2)'::point"

    def run() -> Any:
        with connections["default"].cursor() as cursor:
            cursor.execute(query, [1, "a", decimal.Decimal("1.5")])
            return cursor.fetchone()

    async with only(options={"init": codecs_of_a_users_own}) as pool:
        row = await pool.natively(run)
        assert (row[:4], row[5]) == ((1, "a", decimal.Decimal("1.5"), "{}"), "(1,2)")
        assert await pool.fetchval("SELECT 5") == "mine"


async def test_without_prepared_statements(django_db_blocker: Any) -> None:
    def run() -> Any:
        with connections["default"].cursor() as cursor:
            for number in (1, 2):
                cursor.execute("SELECT %s, name FROM native_things WHERE id = %s", ["x", number])
            row = cursor.fetchone()
            with transaction.atomic():
                cursor.execute("SELECT %s", [7])
            return row, cursor.fetchone(), count(cursor, "'%'")

    async with only(options={"statement_cache_size": 0}) as pool:
        assert await pool.natively(run) == (("x", "n2"), (7,), 0)


# -- cursors ---------------------------------------------------------------------------------------


def both(function: Callable[[Any], Any]) -> Any:
    """What it gives with a cursor of Django's and with one of ours, which is the same."""
    with connection.cursor() as cursor:
        expected = function(cursor)
    with run_natively(), connection.cursor() as cursor:
        assert function(cursor) == expected
    return expected


def test_the_rows_are_fetched_piece_by_piece() -> None:
    def fetch(cursor: CursorWrapper) -> Any:
        cursor.execute("SELECT id FROM native_things WHERE id < 12 ORDER BY id")
        pieces = [cursor.fetchone(), cursor.fetchmany(2), cursor.fetchmany()]
        return [*pieces, cursor.rownumber, cursor.fetchall(), cursor.fetchall(), cursor.fetchone()]

    assert both(fetch)[0] == (1,)


@pytest.mark.parametrize("statement", [
    "SELECT id FROM native_things WHERE id < 4", "UPDATE native_things SET name = 'x' WHERE id < 4",
    "INSERT INTO native_things VALUES (3000, 'x') ON CONFLICT DO NOTHING", "SET DateStyle TO ISO",
    "DELETE FROM native_things WHERE id = 5000 RETURNING id", "CREATE TEMP TABLE a ()",
    "SELECT 1; SELECT 2", "DELETE FROM native_things WHERE id = 3000",
])  # fmt: skip
def test_the_count_and_the_status(statement: str) -> None:
    def run(cursor: Any) -> Any:
        with transaction.atomic():
            cursor.execute(statement)
            transaction.set_rollback(True)
        return cursor.rowcount, cursor.statusmessage

    if ";" in statement:  # Django's driver has the first, and more by nextset()
        with run_natively(), connection.cursor() as cursor:
            assert run(cursor) == (1, "SELECT 1")
    else:
        both(run)


def test_the_columns() -> None:
    def columns(cursor: Any) -> Any:
        assert cursor.description is None
        cursor.execute('SELECT *, 1.5 AS "an odd \'name" FROM native_things LIMIT 0')
        shown = [(each.name, each.type_code, *each[2:3], *each[4:7]) for each in cursor.description]
        names = [each[0] for each in cursor.description]
        assert [each.type_display for each in cursor.description][1:3] == [
            "varchar(10)", "numeric(7,2)",
        ]  # fmt: skip
        cursor.execute("SET DateStyle TO ISO")
        return shown, names, cursor.description, len(names)

    both(columns)


def test_no_rows_are_fetched_where_there_are_none() -> None:
    def fetch(cursor: Any) -> Any:
        said = []
        for statement in (None, "SET DateStyle TO ISO", "UPDATE native_things SET name = 'y'"):
            if statement:
                cursor.execute(statement)
            with pytest.raises(DatabaseError) as raised:
                cursor.fetchall()
            said.append((type(raised.value), str(raised.value)))
        return said

    both(fetch)


def test_many_times_the_same() -> None:
    def run(cursor: Any) -> Any:
        cursor.executemany("UPDATE native_things SET name = %s WHERE id < %s", [("a", 3), ("b", 2)])
        count = cursor.rowcount
        cursor.execute("SELECT name FROM native_things WHERE id < 4 ORDER BY id")
        return count, cursor.fetchall()

    assert both(run)[0] == 3


def test_many_times_is_all_or_nothing(cursor: Any) -> None:
    with pytest.raises(IntegrityError):
        cursor.executemany("INSERT INTO native_things VALUES (%s, 'x')", [(5000,), (1,)])
    cursor.execute("SELECT count(*) FROM native_things WHERE id = 5000")
    assert cursor.fetchone() == (0,)


def test_a_function_is_called() -> None:
    def call(cursor: Any) -> Any:
        cursor.callproc("lower", ["ABC"])
        first = cursor.fetchall()
        cursor.callproc("pg_backend_pid")
        return first, len(cursor.fetchall())

    both(call)


def test_statements_are_composed() -> None:
    def compose(cursor: Any) -> Any:
        cursor.execute(
            sql.SQL("SELECT {} FROM {} WHERE id = %s AND name = {}").format(
                sql.Identifier("id"), sql.Identifier("native_things"), sql.Literal("n5")
            ),
            [5],
        )
        ops = connection.ops
        return (
            cursor.fetchall(),
            ops.last_executed_query(cursor, "", None),
            ops.compose_sql("SELECT %s, %s, %%", ["it's", decimal.Decimal("1.5")]),
            sql.Identifier('a"b').as_string(cursor.connection),
        )

    both(compose)


def test_what_was_run_is_logged_as_django_does() -> None:
    from django.test.utils import CaptureQueriesContext

    def logged() -> list[str]:
        with CaptureQueriesContext(connection) as queries, connection.cursor() as cursor:
            cursor.execute("SELECT %s, %s, '%%'", ["it's", None])
            with pytest.raises(DatabaseError):
                cursor.execute("SELECT nothing + %s", [1])
        return [each["sql"] for each in queries]

    expected = logged()
    with run_natively():
        assert logged() == expected


@pytest.mark.parametrize("inside", [True, False])
def test_a_named_cursor_leaves_the_rows_on_the_server(inside: bool) -> None:
    from contextlib import nullcontext

    def chunks() -> Any:
        with transaction.atomic() if inside else nullcontext():
            with connection.chunked_cursor() as cursor:
                cursor.execute("SELECT id FROM native_things WHERE id > %s ORDER BY id", [2])
                first = cursor.fetchmany(3)
                with connection.cursor() as other:
                    other.execute("DELETE FROM native_things WHERE id = 7")
                rest = [row[0] for row in cursor]
                names = [each.name for each in cursor.description]
            with connection.cursor() as other:
                other.execute("INSERT INTO native_things VALUES (7, 'n7')")
                other.execute("SELECT count(*) FROM pg_cursors WHERE name LIKE '_django%%'", ())
                return first, rest, names, other.fetchone()

    expected = chunks()
    assert expected[1][3] == 9
    with run_natively():
        assert chunks() == expected


async def test_a_named_cursor_outside_of_a_transaction_holds_a_connection_until_it_is_closed(
    django_db_blocker: Any,
) -> None:
    async with only(max_size=3) as pool:

        def partly() -> Any:
            database = connections["default"]
            with database.chunked_cursor() as cursor:
                cursor.execute("SELECT id FROM native_things ORDER BY id")
                first = cursor.fetchmany(2)
                with database.cursor() as other:
                    other.execute("SELECT count(*) FROM native_things")
                    total = other.fetchone()
                return first, total, pool.stats().in_use

        assert await pool.natively(partly) == ([(1,), (2,)], (1000,), 1)
        assert pool.stats().in_use == 0


async def test_a_named_cursor_that_nobody_closes_gives_its_connection_back(
    django_db_blocker: Any,
) -> None:
    async with only(max_size=1) as pool:

        def forgetful() -> Any:
            database = connections["default"]
            database.ensure_connection()
            cursor = database.connection.cursor("forgotten")
            cursor.execute("SELECT id FROM native_things")
            cursor.fetchone()
            return cursor

        cursor = await pool.natively(forgetful)
        async with asyncio.timeout(10):
            assert await pool.fetchval("SELECT count(*) FROM pg_cursors WHERE name != ''") == 0
        with pytest.raises(psycopg.ProgrammingError, match="no result"):
            cursor.fetchone()
        cursor.close()


def test_copy() -> None:
    rows = [(4001, "tab\there", decimal.Decimal("1.50")), (4002, "b\\slash\n", None)]

    def copy(cursor: Any) -> Any:
        with cursor.copy("COPY native_things (id, name, price) FROM STDIN") as sink:
            for row in rows:
                sink.write_row(row)
            sink.write("4003\tplain\t\\N\n")
        written = cursor.rowcount
        query = (
            "COPY (SELECT id, name, price FROM native_things WHERE id > %s ORDER BY id) TO STDOUT"
        )
        with cursor.copy(query, [4000]) as source:
            data = b"".join(map(bytes, source))
        with cursor.copy(query, [4000]) as source:
            source.set_types(["int4", "text", "numeric"])
            read = list(source.rows())
        with cursor.copy(query.replace("STDOUT", "STDOUT (FORMAT BINARY)"), [4000]) as source:
            binary = b"".join(map(bytes, source))
        cursor.execute("DELETE FROM native_things WHERE id > 4000")
        with cursor.copy("COPY native_things (id, name, price) FROM STDIN BINARY") as sink:
            sink.write(binary)
        cursor.execute("DELETE FROM native_things WHERE id > 4000")
        return written, data, read, cursor.rowcount

    written, _, read, again = both(copy)
    assert (written, read[:2], again) == (3, rows, 3)


def test_a_copy_that_fails_writes_nothing(cursor: Any) -> None:
    statement = "COPY native_things (id, name) FROM STDIN"
    with pytest.raises(ValueError, match="mine"), cursor.copy(statement) as sink:
        sink.write_row([4001, "x"])
        raise ValueError("mine")
    with pytest.raises(psycopg.errors.UniqueViolation), cursor.copy(statement) as sink:
        sink.write_row([4001, "x"])
        sink.write_row([1, "x"])
    cursor.execute("SELECT count(*) FROM native_things WHERE id > 4000")
    assert cursor.fetchone() == (0,)


def test_a_closed_cursor_is_closed(cursor: Any) -> None:
    cursor.close()
    with pytest.raises((psycopg.InterfaceError, DatabaseError, Exception), match="closed"):
        cursor.execute("SELECT 1")
