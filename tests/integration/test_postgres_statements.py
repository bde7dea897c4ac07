"""Which statements cost no reset, and which faults of a PostgreSQL alias are found early."""

from __future__ import annotations

from typing import Any

import pytest

from poolapp.backends.postgres import PostgresBackend
from poolapp.backends.postgres.statements import LONGEST_REMEMBERED, is_clean, is_write
from tests.real import postgres_config

URL = "postgresql://user:s3cret-word@db:5432/name"


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "  select * from article where id = $1 for update;",
        "(SELECT 1) UNION (SELECT 2)",
        "\n  WITH new AS (INSERT INTO a VALUES (1) RETURNING id) SELECT * FROM new",
        "UPDATE article SET title = $1, reset = true WHERE id = $2",
        "UPDATE settings SET value = 'x'",
        "INSERT INTO temp_readings (temp) VALUES ($1)",
        "DELETE FROM listen",
        "VALUES (1), (2)",
        "TABLE article",
        "MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN DO NOTHING",
        "NOTIFY channel",
        "SELECT pg_advisory_xact_lock(1)",
        "SELECT pg_notify('a', 'b')",
        "SELECT temporary FROM contract",
        'SAVEPOINT "s1_x1"',
        "RELEASE SAVEPOINT a",
        "ROLLBACK TO SAVEPOINT a",
        "SET CONSTRAINTS ALL IMMEDIATE",
        "LOCK TABLE article",
    ],
)
def test_reading_and_writing_rows_is_clean(statement: str) -> None:
    assert is_clean(statement)


@pytest.mark.parametrize(
    ("statement", "writes"),
    [
        ('INSERT INTO "a" VALUES (1)', True),
        (" update a SET b = 1", True),
        ("DELETE FROM a", True),
        ("MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE", True),
        ('COPY "a" ("b")\nFROM STDIN', True),
        ("COPY a TO STDOUT", False),
        ("SELECT 1 FROM a FOR UPDATE", False),
        ("SAVEPOINT a", False),
        ("", False),
    ],
)
def test_what_changes_rows_is_told_from_what_reads_them(statement: str, writes: bool) -> None:
    assert is_write(statement) is writes


@pytest.mark.parametrize(
    "statement",
    [
        "SET timezone = 'UTC'",
        "set local timezone = 'UTC'",
        "RESET ALL",
        "SET ROLE admin",
        "BEGIN",
        "START TRANSACTION",
        "ROLLBACK",
        "COMMIT",
        "LISTEN news",
        "UNLISTEN *",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "DEALLOCATE p",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "FETCH 1 FROM c",
        "CLOSE c",
        "DISCARD ALL",
        "LOAD 'auto_explain'",
        "DO $$ BEGIN SET timezone = 'UTC'; END $$",
        "CALL something()",
        "CREATE TEMP TABLE a (b int)",
        "CREATE TEMPORARY VIEW a AS SELECT 1",
        "CREATE TABLE pg_temp.a (b int)",
        "SELECT 1 AS b INTO TEMP a",
        "SELECT 1 AS b INTO /* now */ LOCAL -- and\n TEMPORARY a",
        "SELECT set_config('role', 'admin', false)",
        "SELECT pg_catalog.SET_CONFIG('a.b', 'c', false)",
        'SELECT "set_config"($1, $2, false)',
        "WITH a AS (SELECT set_config('a.b', 'c', false)) SELECT * FROM a",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_lock_shared(1)",
        "SELECT pg_advisory_unlock(1)",
        "SELECT setseed(0.5)",
        "SELECT dblink_connect('a', 'dbname=b')",
        "SELECT 1; SET timezone = 'UTC'",
        "/* a comment first */ SELECT 1",
        "EXPLAIN SELECT 1",
        "",
        ";",
        "selection",
    ],
)
def test_what_may_change_the_session_is_not_clean(statement: str) -> None:
    assert not is_clean(statement)


def test_a_long_statement_is_judged_without_being_remembered() -> None:
    long = "SELECT '" + "x" * LONGEST_REMEMBERED + "'"
    assert is_clean(long)
    assert not is_clean(long + " ; SET a.b = 'c'")


def problems(*urls: str, **options: Any) -> list[tuple[str, str, str]]:
    """Each problem's setting, message and hint."""
    config = postgres_config(urls[0] if urls else URL, options=options)
    if len(urls) > 1:
        config = config.replace(locations=(*config.where(), *config.where()))
    found = PostgresBackend.problems(config)
    for each in found:
        assert each.hint.endswith((".", "?"))
        assert "s3cret-word" not in f"{each.message} {each.hint}"
    return [(each.setting, each.message, each.hint) for each in found]


class TestProblems:
    @pytest.mark.parametrize(
        "url",
        [
            URL,
            "postgres://db/name",
            "postgresql:///name",
            "postgresql://a:1,b:2,[::1]:3/name?target_session_attrs=read-write",
            "postgresql:///name?host=/run/postgresql",
            "postgresql:///name?host=a,b&port=1,2&sslmode=verify-full&sslrootcert=/ca.pem",
            "postgresql:///?service=live",
            URL + "?application_name=web&search_path=web",
        ],
    )
    def test_a_good_url_has_none(self, url: str) -> None:
        assert problems(url) == []

    def test_good_options_have_none(self) -> None:
        assert (
            problems(
                command_timeout=2.5,
                statement_cache_size=0,
                server_settings={"jit": "off"},
                init=f"{__name__}.init",
                ssl="require",
                password=lambda: "secret",
            )
            == []
        )

    def test_a_wrong_scheme(self) -> None:
        ((setting, message, hint),) = problems("mysql://user:password@db/name")
        assert setting == "LOCATION"
        assert "'mysql'" in message
        assert "postgresql://" in hint

    @pytest.mark.parametrize(
        "hosts", ["db:0", "db:65536", "db:x", "db:", "a:1,b:z", ",", "db:5432,"]
    )
    def test_a_bad_host_or_port(self, hosts: str) -> None:
        ((setting, message, _),) = problems(f"postgresql://user:password@{hosts}/name")
        assert setting == "LOCATION"
        assert "port" in message or "host" in message

    @pytest.mark.parametrize("query", ["port=x", "port=1,2", "port=0"])
    def test_a_bad_port_in_the_query(self, query: str) -> None:
        ((setting, _, _),) = problems(f"postgresql:///name?host=a,b,c&{query}")
        assert setting == "LOCATION"

    def test_no_location(self) -> None:
        config = postgres_config(URL).replace(locations=())
        (problem,) = PostgresBackend.problems(config)
        assert (problem.setting, problem.message) == ("LOCATION", "is missing")

    def test_more_than_one_location(self) -> None:
        ((setting, message, hint),) = problems(URL, URL)
        assert setting == "LOCATION"
        assert "several" in message
        assert "commas" in hint

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("comand_timeout", "'command_timeout'"),
            ("max_size", "MAX_SIZE"),
            ("min_size", "MIN_SIZE"),
            ("max_inactive_connection_lifetime", "IDLE_TIMEOUT"),
            ("connect_timeout", "CONNECT_TIMEOUT"),
            ("setup", "'init'"),
            ("sslmode", "'ssl'"),
            ("dsn", "LOCATION"),
            ("loop", "event loop"),
            ("zzz", "Remove it."),
        ],
    )
    def test_an_option_that_the_driver_does_not_have(self, name: str, hint: str) -> None:
        ((setting, message, told),) = problems(**{name: 1})
        assert setting == f"OPTIONS[{name!r}]"
        assert "asyncpg.connect()" in message
        assert hint in told

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("command_timeout", "5"),
            ("command_timeout", 0),
            ("command_timeout", True),
            ("statement_cache_size", -1),
            ("statement_cache_size", False),
            ("server_settings", {"jit": False}),
            ("server_settings", "jit=off"),
            ("init", "no.such.module.init"),
            ("init", "os.path.nothing"),
            ("init", "os.getcwd"),
            ("init", print),
            ("init", 3),
        ],
    )
    def test_an_option_of_the_wrong_type(self, name: str, value: object) -> None:
        ((setting, message, _),) = problems(**{name: value})
        assert setting == f"OPTIONS[{name!r}]"
        assert message.startswith("must be ")

    @pytest.mark.parametrize("name", ["channel_binding", "keepalives_idle", "connect_timeout"])
    def test_a_parameter_that_only_libpq_has(self, name: str) -> None:
        ((setting, message, _),) = problems(f"{URL}?{name}=1")
        assert setting == "LOCATION"
        assert name in message

    def test_a_parameter_that_belongs_into_the_options(self) -> None:
        ((_, message, hint),) = problems(f"{URL}?command_timeout=5")
        assert "command_timeout" in message
        assert "OPTIONS['command_timeout']" in hint

    def test_all_are_told_at_once(self) -> None:
        found = problems("mysql://db:x/name?keepalives=1", timeuot=1, command_timeout="a")
        assert len(found) == 5


async def init(connection: Any) -> None: ...
