"""Each type of PostgreSQL that can come out of a statement, and each of Python's that can go in:
natively the same as by Django's own driver."""

from __future__ import annotations

import datetime
import decimal
import enum
import ipaddress
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.postgres import signals
from django.db import connection
from django.test import override_settings
from django.utils.functional import lazystr
from psycopg.adapt import Loader
from psycopg.pq import Format
from psycopg.types.json import Jsonb
from psycopg.types.numeric import Int2, Int8
from psycopg.types.range import Range
from psycopg.types.string import TextLoader

from poolapp.testing import run_natively

SCHEMA = """
DROP SCHEMA IF EXISTS native_types CASCADE;
CREATE SCHEMA native_types;
CREATE TYPE native_types.mood AS ENUM ('sad', 'o,k', 'happy');
CREATE TYPE native_types.pair AS (number int, word text);
CREATE DOMAIN native_types.positive AS int CHECK (value > 0);
CREATE TYPE native_types.span AS RANGE (subtype = float8);
"""


@pytest.fixture(scope="module", autouse=True)
def schema(django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock():
        with connection.cursor() as cursor:
            cursor.execute(SCHEMA)
        yield
        with connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA native_types CASCADE")
        connection.close()


def outcome(sql: str, params: Any = None) -> Any:
    """The rows, as exactly as can be told, or the error."""
    with connection.cursor() as cursor:
        try:
            cursor.execute(sql, params)
            return [exactly(row) for row in cursor.fetchall()]
        except Exception as error:
            return type(error), type(error.__cause__)


def exactly(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value), [exactly(each) for each in value]
    if isinstance(value, dict):
        return type(value), [(key, exactly(each)) for key, each in value.items()]
    if isinstance(value, Range):
        return type(value), exactly(value.lower), exactly(value.upper), value.bounds
    if isinstance(value, datetime.datetime):
        return type(value), value.isoformat(), repr(value.tzinfo), value.fold
    return type(value), repr(value)


def same(sql: str, params: Any = None) -> Any:
    """What both give, which is the same."""
    expected = outcome(sql, params)
    with run_natively():
        assert outcome(sql, params) == expected
    return expected


VALUES = """
true | 1::int2 | 1::int4 | 1::int8 | 4294967295::oid | 0.1::float4 | 1e-7::float4 | 0.1::float8
'NaN'::float8 | '-Infinity'::float4 | 1.10::numeric | 'NaN'::numeric | 'Infinity'::numeric
1e200::numeric | 0.000::numeric(9,3) | 12.34::money | 'a'::text | 'a'::varchar | 'ab'::char(4)
'a'::"char" | 'n'::name | ''::text | E'\\\\000F'::bytea | ''::bytea | '2020-02-29'::date
'0001-01-01'::date | '9999-12-31'::date | 'infinity'::date | '-infinity'::date
'0044-03-15 BC'::date | '10000-01-01'::date | '12:30:00.000001'::time | '24:00'::time
'12:30+02'::timetz | '12:30:00+02:30'::timetz | '2020-02-29 12:00:00.5'::timestamp
'infinity'::timestamp | '10000-01-01'::timestamp | '2020-02-29 12:00+05'::timestamptz
'2021-10-31 00:30+00'::timestamptz | '2021-10-31 01:30+00'::timestamptz
'9999-12-31 23:59:59.999999+00'::timestamptz | 'infinity'::timestamptz | '-infinity'::timestamptz
'0044-03-15 BC'::timestamptz | '1880-01-01'::timestamptz | '1 day'::interval
'-1 day 2 hours'::interval | '14 mons'::interval | '-14 mons 3 days -04:05:06.7'::interval
'0'::interval | '1000000 years'::interval | '{"a": [1, null, 1.5]}'::jsonb
'{"a": [1, null, 1.5]}'::json | 'null'::jsonb | '"x"'::json | '$.a[*]'::jsonpath
'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid | '10.0.0.1'::inet | '10.0.0.0/8'::inet
'::1'::inet | '10.0.0.0/8'::cidr | '08:00:2b:01:02:03'::macaddr
'08:00:2b:01:02:03:04:05'::macaddr8 | B'0101' | B'1'::bit varying | '1'::bit(3)
'(1,2.5)'::point | '((0,0),(1,1e20))'::box | '{1,2,3}'::line | '((0,0),(1,1))'::lseg
'((0,0),(1,1),(2,0))'::path | '((0,0),(1,1),(2,0))'::polygon | '<(0,0),5>'::circle
'a fat cat'::tsvector | 'fat & cat'::tsquery | '<a>1</a>'::xml | '(0,1)'::tid | '7'::xid
'7'::xid8 | '7'::cid | 'pg_class'::regclass | 'int4'::regtype | 'now'::regproc
'english'::regconfig | '16/B374D848'::pg_lsn | '10:20:10,14,15'::pg_snapshot
'10:20:10,14,15'::txid_snapshot | '{1,2}'::int2vector | '{}'::aclitem[] | 'a' | NULL | NULL::int
now() - now() | int4range(1, 5) | int4range(NULL, 5) | 'empty'::int4range | int8range(1, 5, '[]')
numrange(1.5, 2.5) | daterange('2020-01-01', NULL) | daterange('2020-01-01', 'infinity')
tsrange('2020-01-01', '2020-02-01') | tstzrange('2020-01-01 00:00+00', '2020-07-01 00:00+00')
'{[1,3),[5,9)}'::int4multirange | '{}'::nummultirange
'{[2020-01-01,2020-02-01)}'::datemultirange
'{[2020-01-01 00:00+00,2020-02-01 00:00+00)}'::tstzmultirange | native_types.span(1.5, 2.5)
ARRAY[1,2] | ARRAY[1,NULL]::int8[] | ARRAY[[1,2],[3,4]] | '{}'::int[] | '[2:3]={1,2}'::int[]
ARRAY['a','b,c','d"e','NULL',NULL]::text[] | ARRAY[''::varchar] | ARRAY[1.5,NULL]
ARRAY[0.1::float4] | ARRAY[true] | ARRAY['2020-01-01'::date] | ARRAY['infinity'::date]
ARRAY['12:00'::time] | ARRAY['2020-06-01 12:00+00'::timestamptz]
ARRAY['2020-06-01 12:00'::timestamp] | ARRAY['1 day'::interval]
ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid] | ARRAY['{"a": 1}'::jsonb]
ARRAY['{"a": 1}'::json] | ARRAY['10.0.0.1'::inet] | ARRAY['a'::"char"] | ARRAY['\\\\x00'::bytea]
ARRAY[B'01'] | ARRAY['(1,2)'::point] | ARRAY[int4range(1,2)]
ARRAY['(0,0),(1,1)'::box, '(2,2),(3,3)'::box] | ARRAY[1::money]
ARRAY['happy'::native_types.mood] | ROW(1, 'a', NULL) | ROW() | ROW(1, ROW(2, 'b,c'))
ROW(now() - now(), 0.1::float4, '2020-01-01'::date) | ROW('2020-06-01 12:00+00'::timestamptz)
ARRAY[ROW(1, 'x')] | ROW(1, 'a')::native_types.pair | ARRAY[ROW(1, 'a')::native_types.pair]
'o,k'::native_types.mood | 3::native_types.positive | ARRAY[3]::native_types.positive[]
pg_typeof(1) | current_user | current_database()::text
"""

ALL = [each.strip() for line in VALUES.splitlines() for each in line.split(" | ") if each.strip()]


@pytest.mark.parametrize("settings", [
    {"USE_TZ": True},
    {"USE_TZ": True, "TIME_ZONE": "Europe/Paris"},
    {"USE_TZ": False, "TIME_ZONE": "Europe/Paris"},
    {"USE_TZ": False, "TIME_ZONE": "America/New_York"},
], ids=str)  # fmt: skip
def test_a_column_of_each_type_gives_the_same_value(settings: dict[str, Any]) -> None:
    connection.close()
    with override_settings(**settings):
        expected = {each: outcome(f"SELECT {each}") for each in ALL}
        with run_natively():
            for each in ALL:
                assert (each, outcome(f"SELECT {each}")) == (each, expected[each])
        connection.close()
    connection.close()


def test_a_row_gives_the_same_values_together_and_again() -> None:
    fine = [each for each in ALL if isinstance(outcome(f"SELECT {each}"), list)]
    assert len(fine) > 120
    sql = f"SELECT {', '.join(fine)}"
    expected = outcome(sql)
    with run_natively():
        assert [outcome(sql), outcome(sql)] == [expected, expected]


@pytest.mark.parametrize("extension", ["hstore", "citext"])
def test_the_types_of_an_extension(extension: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = %s", [extension])
        if cursor.fetchone() is None:
            pytest.skip(f"the server has no {extension}")
        cursor.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
    literal = '\'"a"=>"b", "c"=>NULL\'::hstore' if extension == "hstore" else "'Ab'::citext"

    def outcomes() -> list[Any]:
        connection.ensure_connection()
        for found in (signals.get_hstore_oids, signals.get_citext_oids):
            found.cache_clear()
        signals.register_type_handlers(connection)
        found = [outcome(f"SELECT {literal}"), outcome(f"SELECT ARRAY[{literal}]")]
        if extension == "hstore":
            found.append(outcome("SELECT %s -> 'a'", [{"a": "b"}]))
        return found

    expected = outcomes()
    with run_natively():
        assert outcomes() == expected
    connection.close()


def test_what_a_project_registers_with_psycopg_is_used() -> None:
    class Loud(Loader):
        def load(self, data: Any) -> str:
            return f"loud {bytes(data).decode()}"

    def register() -> Any:
        connection.ensure_connection()
        adapters = connection.connection.adapters
        numbers = [adapters.types.get_oid(each) for each in ("numeric", "jsonb", "int4", "point")]
        before = {each: adapters.get_loader(each, Format.TEXT) for each in numbers}
        for each in numbers:
            adapters.register_loader(each, Loud)
        try:
            return outcome(
                "SELECT 1.5, '[1]'::jsonb, 5, '(1,2)'::point, 'x', ARRAY[1.5], 5::int8, %s, %s",
                [6, "y"],
            )
        finally:  # natively they are the database's, for the process
            for each, loader in before.items():
                adapters.register_loader(each, loader or TextLoader)

    expected = register()
    connection.close()
    assert "loud 5" in str(expected)
    with run_natively():
        assert register() == expected
        assert "loud" not in str(outcome("SELECT 5"))


class Number(enum.IntEnum):
    SEVEN = 7


class Word(enum.StrEnum):
    HI = "hi"


class Text(str):
    __slots__ = ()


PARIS = datetime.timezone(datetime.timedelta(hours=2))

PARAMETERS = [
    None, True, 0, -1, 2**31 - 1, -(2**31), 2**31, 2**63 - 1, -(2**63), 2**63, 10**40, 1.5, -0.5,
    1e300, 1e-300, float("inf"), float("nan"), 5.0, "a", "", "it's", "back\\slash", "%s", "é☃😀",
    "12",
    Text("t"), Word.HI, Number.SEVEN, b"", b"\x00\xff'", bytearray(b"ab"), memoryview(b"cd"),
    decimal.Decimal("1.50"), decimal.Decimal(5), decimal.Decimal(-5), decimal.Decimal("NaN"),
    decimal.Decimal("1E+5"), decimal.Decimal("1E-9"), decimal.Decimal(2**70),
    datetime.date(2020, 2, 29), datetime.date.max, datetime.date.min,
    datetime.datetime(2020, 2, 29, 12, 30, 1, 5), datetime.datetime.max, datetime.datetime.min,
    datetime.datetime(2020, 2, 29, 12, tzinfo=datetime.UTC),
    datetime.datetime(2020, 2, 29, 12, tzinfo=PARIS),
    datetime.time(1, 2, 3, 4), datetime.time(1, 2, tzinfo=PARIS),
    datetime.timedelta(days=-3, seconds=5),
    datetime.timedelta.max, uuid.UUID(int=5), Jsonb({"a": [1, None, "x"]}), Jsonb(None),
    ipaddress.ip_address("10.0.0.1"), ipaddress.ip_network("10.0.0.0/8"),
    ipaddress.ip_address("::1"),
    Int2(5), Int8(5), [1, 2], [1, None], [], ["a", 'b"c', None], [[1, 2], [3, 4]], [1.5], [True],
    [datetime.date(2020, 1, 1)], [decimal.Decimal("1.5")], [uuid.UUID(int=1)], [Jsonb(1)],
    Range(1, 5), Range(empty=True), Range(None, 5), Range(decimal.Decimal("1.5"), None),
    Range(datetime.date(2020, 1, 1), datetime.date(2020, 2, 1)),
    Range(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), None),
    (1, "a"), lazystr("lazy"), object(), "with\x00nul", ["with\x00nul"],
]  # fmt: skip


@pytest.mark.parametrize(
    "value",
    PARAMETERS,
    ids=lambda each: f"{type(each).__name__} {str(each)[:30]}".partition(" at 0x")[0],
)
def test_a_parameter_of_each_type_has_the_type_of_its_literal(value: Any) -> None:
    same("SELECT pg_typeof(%s)", [value])
    same("SELECT %s", [value])


@pytest.mark.parametrize(("type_name", "text"), [
    ("int4", "12"), ("int8", "-5"), ("numeric", "1.50"), ("bool", "yes"), ("float8", "1e3"),
    ("date", "2020-01-01"), ("date", "infinity"), ("timestamptz", "2020-01-01 12:00+02"),
    ("time", "12:30"), ("interval", "1 day"), ("uuid", "a0eebc999c0b4ef8bb6d6bb9bd380a11"),
    ("jsonb", '{"a": 1}'), ("json", "[1]"), ("inet", "10.1.1.1"), ("int4[]", "{1,2}"),
    ("bytea", "\\x0102"), ("native_types.mood", "happy"), ("native_types.pair", "(1,x)"),
    ("int4range", "[1,5)"), ("point", "(1,2)"), ("text[]", "{a,b}"), ("name", "x"),
    ("int4", "twelve"), ("date", "soon"), ("native_types.mood", "angry"), ("jsonb", "{"),
])  # fmt: skip
def test_a_text_is_read_as_the_type_that_the_statement_wants(type_name: str, text: str) -> None:
    same(f"SELECT v FROM (SELECT NULL::{type_name} AS v) t WHERE v IS NULL OR v::text = %s", [text])
    same(f"SELECT COALESCE(NULL::{type_name}, %s)", [text])
    same(f"SELECT COALESCE(NULL::{type_name}, %s), 5, 1.5, DATE '2020-01-01'", [text])
    same(f"SELECT %s::{type_name}", [text])


def test_values_beside_a_text_of_their_own_type() -> None:
    day = datetime.date(2020, 1, 1)
    same("SELECT %s::int4, %s, %s + 1, 7", ["5", 6, 8])
    same("SELECT %s::date, %s, %s", ["2020-05-05", day, datetime.date.max])
    same("SELECT %s::bytea, %s", ["\\x00", b"\x01"])
    same("SELECT %s::numeric, %s", ["1.5", decimal.Decimal("2.50")])


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELECT 5 / %s", [decimal.Decimal(2)]),
        ("SELECT 5 / %s", [2.0]),
        ("SELECT %s || %s", ["a", "b"]),
        ("SELECT DATE '2020-01-01' + %s", [1]),
        ("SELECT DATE '2020-01-01' + %s", [datetime.timedelta(days=1)]),
        ("SELECT INTERVAL %s", ["1 day"]),
        ("SELECT %s = ANY(%s)", [1, [1, 2]]),
        ("SELECT CASE WHEN %s THEN %s ELSE %s END", [True, "a", "b"]),
        ("SELECT CASE WHEN %s THEN %s ELSE %s END", [True, 1, 1.5]),
        ("SELECT COALESCE(%s, %s)", [None, "a"]),
        ("SELECT %s IS NULL", [None]),
        ("SELECT json_build_object(%s, %s)", ["key", "value"]),
        ("SELECT jsonb_build_object(%s, %s)", ["key", 5]),
        ("SELECT concat(%s, %s)", ["a", 1]),
        ("SELECT to_char(%s, %s)", [datetime.date(2020, 5, 4), "YYYY"]),
        ("SELECT ROW(%s, %s)", [1, "a"]),
        ("SELECT ARRAY[%s, %s]", ["a", "b"]),
        ("SELECT GREATEST(%s, %s)", [1, 2.5]),
        ("SELECT x FROM generate_series(1, 9) x WHERE x IN (%s, %s, %s)", [1, 5, 2**40]),
        ("SELECT x FROM generate_series(1, 9) x WHERE x NOT IN (%s, %s)", [1, 5]),
        ("SELECT x FROM generate_series(1, 9) x WHERE x IN (%s, %s)", [1, "5"]),
        ("SELECT x FROM generate_series(1, 3) x WHERE x IN (%s, %s)", [1, None]),
        ("SELECT x FROM generate_series(1, 9) x WHERE x::text IN (%s, %s)", ["1", 'a"\\,']),
        ("SELECT x FROM generate_series(1, 9) x WHERE x IN (%s)", ["3"]),
        ("SELECT %s IN (%s, %s)", ["a", "b", "a"]),
        ("SELECT x FROM (VALUES (1.5)) t(x) WHERE x IN (%s, %s)", [1.5, 2]),
        (
            "SELECT x % 3 + %s, count(*) FROM generate_series(1, 9) x GROUP BY x % 3 + %s",
            [1, 1],
        ),
        (
            "SELECT x %% 3 + %s AS g FROM generate_series(1, 9) x GROUP BY x %% 3 + %s ORDER BY g",
            [1, 1],
        ),
        ("SELECT DISTINCT x + %s FROM generate_series(1, 3) x ORDER BY x + %s", [1, 1]),
        ("SELECT DISTINCT x + %s FROM generate_series(1, 3) x ORDER BY x + %s", [1, 2]),
        ("SELECT x, -x FROM generate_series(1, 3) x ORDER BY %s", [2]),
        ("SELECT x, -x FROM generate_series(1, 3) x ORDER BY x, %s DESC", [2]),
        ("SELECT x, -x FROM generate_series(1, 3) x ORDER BY %s", ["x"]),
        ("SELECT count(*) FROM generate_series(1, 3) x GROUP BY %s", [1]),
        ("SELECT x FROM generate_series(1, 9) x LIMIT %s OFFSET %s", [2, 3]),
        ("SELECT %s UNION SELECT %s ORDER BY 1", ["a", "b"]),
        ("SELECT %s UNION SELECT 5", ["7"]),
        ("VALUES (%s, %s), (%s, %s)", [1, "a", 2, None]),
        ("SELECT 'x' LIKE %s, '%%'", ["%"]),
        ("SELECT %(a)s, %(b)s, %(a)s", {"a": 1, "b": "x"}),
        ("SELECT %b, %t", [1, "x"]),
        ("SELECT '%%'", ()),
        ("SELECT '%s'", None),
        ("SELECT %s", []),
        ("SELECT 1", [1]),
        ("SELECT %(a)s", {}),
        ("SELECT %(a)s, %s", {"a": 1}),
        ("SELECT %x", [1]),
        ("SELECT %", [1]),
        ("SELECT %(a", [1]),
        ("SELECT %s", {"a": 1}),
        ("SELECT %(a)s", [1]),
        ("SELECT nothing", None),
        ("SELECT nothing WHERE %s", [1]),
        ("SELEC", None),
        ("SELECT 1 / %s", [0]),
        ("SELECT %s::int2", [99999]),
        ("EXPLAIN (COSTS OFF) SELECT x FROM generate_series(1, 9) x WHERE x = %s", [1]),
        ("SHOW server_version_num", None),
        ("WITH a AS (SELECT %s AS b) SELECT b, pg_typeof(b) FROM a", ["x"]),
        ("/* leading */ SELECT %s", ["x"]),
        ("-- leading\nSELECT %s", [1]),
        ("(SELECT %s)", [1]),
        ("TABLE pg_catalog.pg_am", None),
    ],
)
def test_a_statement_means_the_same(sql: str, params: Any) -> None:
    same(sql, params)
    same(sql, params)  # by what was learnt of it


def test_many_parameters() -> None:
    numbers = list(range(40_000))
    marks = ", ".join(["%s"] * len(numbers))
    same(f"SELECT count(*) FROM generate_series(1, 100) x WHERE x IN ({marks})", numbers)
    same(f"SELECT count(*) FROM (VALUES {', '.join(['(%s)'] * len(numbers))}) x", numbers)
    mixed = [*map(str, numbers), 1]
    same(f"SELECT count(*) FROM generate_series(1, 9) x WHERE x IN ({marks}, %s)", mixed)
