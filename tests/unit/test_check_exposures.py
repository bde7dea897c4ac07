"""``check --deploy``: passwords that go out unencrypted, certificates that nobody verifies."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.core.checks.registry import registry

from poolapp import BaseBackend, PoolConfig
from poolapp.checks import check_exposures
from poolapp.core.backend import Exposure

POSTGRES = "poolapp.backends.postgres.PostgresBackend"
ELASTICSEARCH = "poolapp.backends.elasticsearch.ElasticsearchBackend"


class OpenBackend(BaseBackend[object]):
    @classmethod
    def exposures(cls, config: PoolConfig) -> list[Exposure]:
        return [
            Exposure(
                kind="plaintext",
                setting="OPTIONS['tls']",
                message="is off.",
                hint="Switch it on.",
            )
        ]


class CarelessBackend(BaseBackend[object]):
    @classmethod
    def exposures(cls, config: PoolConfig) -> list[Exposure]:
        raise KeyError(config.options["password"])


def loose() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.fixture
def exposed(settings: Any, monkeypatch: Any) -> Any:
    """``exposed(backend, location, **options)``: what the check says of such an alias."""
    for name in ("PGSSLMODE", "PGSSLROOTCERT"):
        monkeypatch.delenv(name, raising=False)

    def exposed(backend: str, location: Any, **options: object) -> list[CheckMessage]:
        settings.POOLS = {"shop": {"BACKEND": backend, "LOCATION": location, "OPTIONS": options}}
        found = check_exposures()
        for message in found:
            assert "hunter2" not in message.msg + str(message.hint)
            assert str(message.hint).endswith(".")
        return found

    return exposed


def ids(found: list[CheckMessage]) -> list[str]:
    return [str(message.id).removeprefix("poolapp.") for message in found]


def test_it_is_run_for_a_deployment_only(settings: Any) -> None:
    settings.POOLS = {"shop": {"BACKEND": f"{__name__}.OpenBackend", "LOCATION": "x://a"}}
    assert run_checks(tags=["poolapp"]) == []
    (message,) = [
        each
        for each in run_checks(tags=["poolapp"], include_deployment_checks=True)
        if each.id != "poolapp.W001"
    ]
    assert message.id == "poolapp.W005"
    assert message.msg == "POOLS['shop']['OPTIONS']['tls'] is off."
    assert message.hint == "Switch it on."
    assert check_exposures in registry.deployment_checks


def test_the_source_of_the_setting_is_told(settings: Any, monkeypatch: Any) -> None:
    settings.POOLS = {"shop": {"BACKEND": f"{__name__}.OpenBackend", "LOCATION": "x://a"}}
    monkeypatch.setenv("POOL_SHOP_OPTIONS", '{"tls": false}')
    (message,) = check_exposures()
    assert message.msg == "POOLS['shop']['OPTIONS']['tls'] (from POOL_SHOP_OPTIONS) is off."


def test_a_backend_whose_own_check_fails_is_told_without_its_values(exposed: Any) -> None:
    (message,) = exposed(f"{__name__}.CarelessBackend", "x://a", password="hunter2")
    assert message.msg.endswith("its exposures() raised KeyError.")


@pytest.mark.parametrize(
    "backend", ["no.such.Backend", "tests.fake.Gate", "tests.fake.FakeBackend"]
)
def test_what_has_no_backend_that_could_be_asked_is_left_to_the_other_check(
    exposed: Any, backend: str
) -> None:
    assert exposed(backend, "x://me:hunter2@a") == []


# -- PostgreSQL ------------------------------------------------------------------------------------

ME = "postgresql://me:hunter2@"


@pytest.mark.parametrize(
    ("location", "options", "expected"),
    [
        (f"{ME}db/x", {}, ["W005"]),
        (f"{ME}db/x?sslmode=disable", {}, ["W005"]),
        (f"{ME}db/x?sslmode=allow", {}, ["W005"]),
        (f"{ME}db/x?sslmode=prefer", {}, ["W005"]),
        (f"{ME}localhost,db/x", {}, ["W005"]),
        (f"{ME}db/x?sslmode=verify-full", {"ssl": "prefer"}, ["W005"]),
        (f"{ME}db/x", {"ssl": False}, ["W005"]),
        ("postgresql://me@db/x", {"password": "hunter2"}, ["W005"]),
        (f"{ME}db/x?sslmode=require", {}, ["W006"]),
        (f"{ME}localhost/x?sslmode=require", {}, ["W006"]),
        (f"{ME}db/x", {"ssl": "require"}, ["W006"]),
        (f"{ME}db/x", {"ssl": loose()}, ["W006"]),
        (f"{ME}db/x", {"ssl": ssl.create_default_context()}, []),
        (f"{ME}db/x", {"ssl": True}, []),
        (f"{ME}db/x?sslmode=require&sslrootcert=/ca.pem", {}, []),
        (f"{ME}db/x?sslmode=verify-ca", {}, []),
        (f"{ME}db/x?sslmode=verify-full", {}, []),
        (f"{ME}localhost/x", {}, []),
        (f"{ME}127.0.0.1:5433/x?sslmode=disable", {}, []),
        (f"{ME}[::1]/x", {}, []),
        (f"{ME}/x?host=/run/postgresql", {}, []),
        ("postgresql://me@db/x", {}, []),
    ],
)
def test_postgresql(
    exposed: Any, location: str, options: dict[str, Any], expected: list[str]
) -> None:
    assert ids(exposed(POSTGRES, location, **options)) == expected


def test_postgresql_is_told_with_its_mode_and_place(exposed: Any) -> None:
    (message,) = exposed(POSTGRES, f"{ME}db/x?sslmode=disable")
    assert message.msg == (
        "POOLS['shop']['LOCATION'] sends a password to another host with sslmode 'disable', which "
        "never encrypts."
    )
    (message,) = exposed(POSTGRES, f"{ME}db/x", ssl="allow")
    assert message.msg.startswith("POOLS['shop']['OPTIONS']['ssl'] sends a password")


def test_the_drivers_own_variables_count(exposed: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert exposed(POSTGRES, f"{ME}db/x") == []
    monkeypatch.setenv("PGSSLMODE", "require")
    assert ids(exposed(POSTGRES, f"{ME}db/x")) == ["W006"]
    monkeypatch.setenv("PGSSLROOTCERT", "/ca.pem")
    assert exposed(POSTGRES, f"{ME}db/x") == []


def test_a_location_that_only_a_function_knows_is_not_judged(exposed: Any) -> None:
    assert exposed(POSTGRES, lambda: f"{ME}db/x") == []


# -- Elasticsearch ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "options", "expected"),
    [
        ("http://me:hunter2@es", {}, ["W005"]),
        (["https://me:hunter2@a", "http://me:hunter2@b"], {}, ["W005"]),
        ("http://es", {"api_key": "hunter2"}, ["W005"]),
        ("http://es", {"basic_auth": ("me", "hunter2")}, ["W005"]),
        ("https://es", {"verify_certs": False}, ["W006"]),
        ("https://es", {"ssl_assert_hostname": False}, ["W006"]),
        ("https://es", {"ssl_context": loose()}, ["W006"]),
        ("http://me:hunter2@es", {"verify_certs": False}, ["W005", "W006"]),
        ("https://es", {"verify_certs": False, "ssl_assert_fingerprint": "ab"}, []),
        ("https://es", {"ssl_context": ssl.create_default_context()}, []),
        ("https://me:hunter2@es", {}, []),
        ("https://es", {"api_key": "hunter2", "verify_certs": True}, []),
        ("http://es", {}, []),
        ("http://me:hunter2@localhost:9200", {}, []),
        ("http://127.0.0.1", {"api_key": "hunter2"}, []),
    ],
)
def test_elasticsearch(
    exposed: Any, location: Any, options: dict[str, Any], expected: list[str]
) -> None:
    assert ids(exposed(ELASTICSEARCH, location, **options)) == expected
