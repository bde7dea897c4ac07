"""DATABASE: where to connect to, taken from Django's DATABASES each time."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections

from poolapp.conf.database import DatabaseLocation
from poolapp.conf.reading import Layer, read
from poolapp.core.config import Location

BACKEND = "tests.fake.FakeBackend"


@pytest.fixture
def databases() -> Iterator[dict[str, Any]]:
    """Django's own dictionary, put back at the end."""
    known = connections.settings
    before = copy.deepcopy(dict(known))
    known["shop"] = {"ENGINE": "django.db.backends.postgresql", "NAME": "shop", "OPTIONS": {}}
    yield known
    known.clear()
    known.update(before)


def location(databases: dict[str, Any], **settings: Any) -> Location:
    databases["shop"].update(settings)
    (found,) = DatabaseLocation("shop")()
    return found


def faults(alias: object) -> list[tuple[str, str]]:
    declared = read([Layer("settings.POOLS", {"p": {"BACKEND": BACKEND, "DATABASE": alias}})])
    return [(fault.code, str(fault)) for fault in declared.faults]


def test_host_port_user_password_and_name_are_taken(databases: dict[str, Any]) -> None:
    found = location(databases, HOST="db", PORT=5433, USER="me", PASSWORD="p@ss:/?#%")
    assert (found.scheme, found.address, found.username) == ("postgresql", "db:5433", "me")
    assert found.path == "/shop"
    assert found.password is not None
    assert found.password.reveal() == "p@ss:/?#%"
    assert "p@ss" not in repr(found)


@pytest.mark.parametrize(
    ("host", "port", "address", "query"),
    [
        ("", "", "", {}),
        ("db", "", "db", {}),
        ("db", "5433", "db:5433", {}),
        ("", "5433", "", {"port": "5433"}),
        ("a,b", "5432", "a:5432,b:5432", {}),
        ("a,b", "1,2", "a:1,b:2", {}),
        ("::1", 5432, "[::1]:5432", {}),
        ("::1", "", "[::1]", {}),
        ("/run/postgresql", "", "", {"host": "/run/postgresql"}),
        ("/run/pg", 5433, "", {"host": "/run/pg", "port": "5433"}),
    ],
)
def test_every_way_to_write_host_and_port(
    databases: dict[str, Any], host: str, port: object, address: str, query: dict[str, str]
) -> None:
    found = location(databases, HOST=host, PORT=port)
    assert (found.address, dict(found.query)) == (address, {**query, "TimeZone": "UTC"})


def test_nothing_set_is_nothing_asked_for(databases: dict[str, Any]) -> None:
    found = location(databases, HOST="", PORT="", USER="", PASSWORD="", NAME="")
    assert (found.username, found.password, found.address, found.path) == (None, None, "", "")


def test_a_name_with_odd_characters_survives_the_way_through_a_url(
    databases: dict[str, Any],
) -> None:
    assert location(databases, NAME="a/b%20?").path == "/a%2Fb%2520%3F"


def test_options_that_say_how_to_connect_go_along_and_those_of_django_do_not(
    databases: dict[str, Any],
) -> None:
    options = {
        "sslmode": "verify-full",
        "sslrootcert": "/ca.pem",
        "sslcert": None,
        "target_session_attrs": "read-write",
        "service": "shop",
        "options": "-c statement_timeout=5000",
        "pool": {"min_size": 2},
        "isolation_level": 2,
        "connect_timeout": 3,
    }
    assert dict(location(databases, OPTIONS=options).query) == {
        "TimeZone": "UTC",
        "sslmode": "verify-full",
        "sslrootcert": "/ca.pem",
        "target_session_attrs": "read-write",
        "service": "shop",
        "options": "-c statement_timeout=5000",
    }


@pytest.mark.parametrize(
    ("use_tz", "own", "zone"),
    [(True, None, "UTC"), (True, "Asia/Tokyo", "Asia/Tokyo"), (False, None, "Europe/Vienna")],
)
def test_the_session_is_asked_for_as_django_would_set_it(
    databases: dict[str, Any], settings: Any, use_tz: bool, own: str | None, zone: str
) -> None:
    settings.USE_TZ, settings.TIME_ZONE = use_tz, "Europe/Vienna"
    found = location(databases, TIME_ZONE=own, OPTIONS={"assume_role": "clerk"})
    assert dict(found.query) == {"TimeZone": zone, "role": "clerk"}


def test_a_database_that_is_renamed_later_is_found_by_its_new_name(
    databases: dict[str, Any],
) -> None:
    where = DatabaseLocation("shop")
    assert where()[0].path == "/shop"
    # As the test runner does it: on the dictionary of the connection.
    connections["shop"].settings_dict["NAME"] = "test_shop"
    assert where()[0].path == "/test_shop"


def test_a_password_that_is_changed_later_is_used(databases: dict[str, Any]) -> None:
    where = DatabaseLocation("shop")
    databases["shop"]["PASSWORD"] = "new"
    password = where()[0].password
    assert password is not None
    assert password.reveal() == "new"


def test_an_unknown_alias_of_databases_is_told(databases: dict[str, Any]) -> None:
    ((code, text),) = faults("shp")
    assert code == "E009"
    assert text.endswith("names 'shp', which DATABASES does not have. Did you mean 'shop'?")
    ((_, text),) = faults("zzzzzz")
    assert text.endswith("DATABASES has default, shop.")


def test_a_database_that_is_no_postgresql_is_told(databases: dict[str, Any]) -> None:
    databases["lite"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    ((code, text),) = faults("lite")
    assert code == "E009"
    assert "is no PostgreSQL database but 'sqlite'" in text


@pytest.mark.parametrize("engine", ["vendor.postgresql", "contrib.gis.postgis"])
def test_an_engine_that_can_not_be_imported_is_judged_by_its_name(
    databases: dict[str, Any], engine: str
) -> None:
    databases["shop"]["ENGINE"] = engine
    assert faults("shop") == []


@pytest.mark.parametrize("alias", [None, 5, ["shop"]])
def test_an_alias_that_is_no_text_is_told(databases: dict[str, Any], alias: object) -> None:
    ((code, text),) = faults(alias)
    assert code == "E009"
    assert "must be an alias of DATABASES, not" in text
