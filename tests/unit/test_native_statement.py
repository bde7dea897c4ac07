"""What is read out of a text of SQL, and what libpq makes of a fault in it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from poolapp.backends.postgres.native.commands import is_several, keyword
from poolapp.backends.postgres.native.errors import pointer
from poolapp.backends.postgres.native.shape import shape_of
from poolapp.backends.postgres.native.statement import template


@pytest.mark.parametrize(("sql", "word"), [
    ("select 1", "select"), ("  \n(SELECT 1)", "select"), ("-- so\nUPDATE a", "update"),
    ("/* /* nested */ */ with a", "with"), (";;commit", "commit"), ("", ""), ("/* open", ""),
    ("'text'", ""), ("$1", ""), ("Create_Thing", "create_thing"),
])  # fmt: skip
def test_the_first_word(sql: str, word: str) -> None:
    assert keyword(sql) == word


@pytest.mark.parametrize("sql", [
    "select 1", "select 1;", "select 1; ;\n", "select ';'; -- more; of it", "select ';;' || 'a'",
    "select $$;$$", "select $a$ ; $$ ; $a$", 'select ";"', "select E'\\';'", "select 1 /* ; */",
    "select 'it''s; fine'", "", ";", "DO $$ BEGIN a; b; END $$;",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END",
])  # fmt: skip
def test_one_command(sql: str) -> None:
    assert not is_several(sql)


@pytest.mark.parametrize("sql", [
    "select 1; select 2", "select ';'; select 2", "select 1;/* */ select 2", "begin; commit;",
    "DO $$ a; $$; select 1", "select E'\\''; select ';'", "select $1; select $2$",
    "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; END; SELECT 2",
])  # fmt: skip
def test_several_commands(sql: str) -> None:
    assert is_several(sql)


def test_a_list_is_one_place_whatever_its_length() -> None:
    one, many = template("a IN (%s) AND b = %s"), template("a IN (%s, %s, %s) AND b = %s")
    assert one.texts == many.texts == ("a", " AND b = ", "")
    assert (one.counts, many.counts) == ((1, 0), (3, 0))
    assert (one.total, many.total) == (2, 4)


@pytest.mark.parametrize("sql", ["a NOT IN (%s, %s)", "a IN (%s, b)", "f(%s, %s)", "a in (%s)"])
def test_other_lists_are_as_they_are(sql: str) -> None:
    found = template(sql)
    assert not any(found.counts)
    assert found.filled(range(found.total), str) == sql.replace("%s", "{}").format(0, 1)[:99]


def test_a_percent_sign_is_doubled_where_there_are_parameters() -> None:
    assert template("a LIKE '%%x%%' || %s").texts == ("a LIKE '%x%' || ", "")


def test_names_stand_in_the_order_of_the_statement() -> None:
    found = template("%(b)s, %(a)s, %(b)s")
    assert found.in_order({"a": 1, "b": 2, "c": 3}) == [2, 1, 2]


@pytest.mark.parametrize(("sql", "params", "error"), [
    ("%s", [], psycopg.ProgrammingError), ("%s", [1, 2], psycopg.ProgrammingError),
    ("%(a)s", {"b": 1}, psycopg.ProgrammingError), ("%(a)s %s", {"a": 1}, psycopg.ProgrammingError),
    ("%d", [1], psycopg.ProgrammingError), ("%", [1], psycopg.ProgrammingError),
    ("% s", [1], psycopg.ProgrammingError), ("%(a", [1], psycopg.ProgrammingError),
    ("%s", {"a": 1}, TypeError), ("%(a)s", [1], TypeError), ("%s", "a", TypeError),
    ("%s", 5, TypeError),
])  # fmt: skip
def test_what_does_not_fit_is_refused(sql: str, params: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        template(sql).in_order(params)


def texts_of(sql: str) -> tuple[str, ...]:
    return template(sql).texts


def test_a_shape_has_the_types_of_the_literals() -> None:
    shape = shape_of("here", texts_of("SELECT %s, %s, %s, %s"), ("int4", "", "null", "'jsonb"))
    assert shape.text == "SELECT ($1::int4), $2, NULL, ($3::jsonb)"
    assert shape.literals == (1, 2)
    assert not shape.written


def test_a_shape_with_a_list() -> None:
    texts = texts_of("SELECT a IN (%s, %s) AND %s")
    assert shape_of("here", texts, ("ANY 'int4[]", "bool")).text == (
        "SELECT a = ANY(($1::int4[])) AND ($2::bool)"
    )
    assert shape_of("here", texts, (("int4", ""), "bool")).text == (
        "SELECT a IN (($1::int4), $2) AND ($3::bool)"
    )


def test_equal_parameters_can_be_one() -> None:
    texts = texts_of("SELECT a + %s, b + %s GROUP BY a + %s")
    shape = shape_of("here", texts, ("int4", "int4", "int4"), (0, 1, 0))
    assert shape.text == "SELECT a + ($1::int4), b + ($2::int4) GROUP BY a + ($1::int4)"


@pytest.mark.parametrize("sql", [
    "SELECT 1 ORDER BY %s", "SELECT 1 ORDER BY a, %s DESC", "SELECT 1 GROUP BY %s HAVING a",
    "SELECT 1 ORDER BY a DESC, %s NULLS LAST LIMIT 1", "ALTER TABLE a SET DEFAULT %s",
    "EXPLAIN SELECT %s", "SET a TO %s",
])  # fmt: skip
def test_what_has_to_be_written_into_the_statement(sql: str) -> None:
    assert shape_of("here", texts_of(sql), ("int4",)).written


@pytest.mark.parametrize("sql", [
    "SELECT 1 ORDER BY a + %s", "SELECT 1 ORDER BY f(%s)", "SELECT 1 ORDER BY %s + a",
    "SELECT 1 LIMIT %s", "INSERT INTO a VALUES (1, %s)", "WITH a AS (SELECT %s) SELECT 1",
])  # fmt: skip
def test_what_can_be_bound(sql: str) -> None:
    assert not shape_of("here", texts_of(sql), ("int4",)).written


@pytest.mark.parametrize(("query", "position", "lines"), [
    ("SELECT x", 8, ("LINE 1: SELECT x", "               ^")),
    ("SELECT\n  x,\n  y", 12, ("LINE 2:   x,", "            ^")),
    ("SELECT 1 AS " + "a" * 60 + ", x", 8, (
        "LINE 1: SELECT 1 AS aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...",
        "               ^",
    )),
    ("SELECT " + "1, " * 30 + "x", 98, (
        "LINE 1: ..., 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, x",
        "                                                                      ^",
    )),
])  # fmt: skip
def test_a_fault_is_pointed_to(query: str, position: int, lines: tuple[str, str]) -> None:
    assert pointer(query, position) == lines
