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


# -- the others ------------------------------------------------------------------------------------

REDIS = "poolapp.backends.redis.RedisBackend"
MONGODB = "poolapp.backends.mongodb.MongoBackend"
HTTP = "poolapp.backends.http.HttpBackend"
WEBSOCKET = "poolapp.backends.websocket.WebSocketBackend"
S3 = "poolapp.backends.s3.S3Backend"


@pytest.mark.parametrize(
    ("location", "options", "expected"),
    [
        ("redis://:hunter2@cache", {}, ["W005"]),
        ("redis://cache", {"password": "hunter2"}, ["W005"]),
        ("rediss://:hunter2@cache?ssl_cert_reqs=none", {}, ["W006"]),
        ("rediss://:hunter2@cache", {"ssl_cert_reqs": "none"}, ["W006"]),
        ("rediss://:hunter2@cache", {"ssl_check_hostname": False}, ["W006"]),
        ("redis://:hunter2@cache", {"ssl": True}, []),
        ("rediss://:hunter2@cache", {"ssl_cert_reqs": "required"}, []),
        ("redis://:hunter2@localhost", {}, []),
        ("unix:///run/redis.sock", {"password": "hunter2"}, []),
        ("redis://cache", {}, []),
    ],
)
def test_redis(exposed: Any, location: str, options: dict[str, Any], expected: list[str]) -> None:
    assert ids(exposed(REDIS, location, **options)) == expected


@pytest.mark.parametrize(
    ("location", "options", "expected"),
    [
        ("mongodb://me:hunter2@db", {}, ["W005"]),
        ("mongodb://db", {"username": "me", "password": "hunter2"}, ["W005"]),
        ("mongodb://me:hunter2@db/?tls=false", {}, ["W005"]),
        ("mongodb://me:hunter2@db/?tls=true&tlsInsecure=true", {}, ["W006"]),
        ("mongodb://me:hunter2@db", {"TLS": True, "tlsAllowInvalidHostnames": True}, ["W006"]),
        ("mongodb://me:hunter2@db/?tls=true", {}, []),
        ("mongodb://me:hunter2@db", {"tls": True}, []),
        ("mongodb+srv://me:hunter2@cluster.example.com", {}, []),
        ("mongodb://me:hunter2@127.0.0.1", {}, []),
        ("mongodb://db", {}, []),
    ],
)
def test_mongodb(exposed: Any, location: str, options: dict[str, Any], expected: list[str]) -> None:
    assert ids(exposed(MONGODB, location, **options)) == expected


@pytest.mark.parametrize(
    ("location", "options", "expected"),
    [
        ("http://me:hunter2@api", {}, ["W005"]),
        ("http://api", {"auth": ("me", "hunter2")}, ["W005"]),
        ("http://api", {"headers": {"authorization": "Bearer hunter2"}}, ["W005"]),
        ("https://api", {"ssl": False}, ["W006"]),
        ("https://api", {"ssl": loose()}, ["W006"]),
        ("https://me:hunter2@api", {}, []),
        ("http://localhost:8000", {"headers": {"Authorization": "hunter2"}}, []),
        ("http://api", {"headers": {"Accept": "*/*"}}, []),
    ],
)
def test_http(exposed: Any, location: str, options: dict[str, Any], expected: list[str]) -> None:
    assert ids(exposed(HTTP, location, **options)) == expected


@pytest.mark.parametrize(
    ("location", "options", "expected"),
    [
        ("ws://me:hunter2@feed", {}, ["W005"]),
        ("ws://feed", {"additional_headers": {"Authorization": "hunter2"}}, ["W005"]),
        ("ws://feed", {"additional_headers": [("Authorization", "hunter2")]}, ["W005"]),
        ("wss://feed", {"ssl": loose()}, ["W006"]),
        ("wss://me:hunter2@feed", {}, []),
        ("ws://me:hunter2@localhost", {}, []),
        ("ws://feed", {}, []),
    ],
)
def test_websocket(
    exposed: Any, location: str, options: dict[str, Any], expected: list[str]
) -> None:
    assert ids(exposed(WEBSOCKET, location, **options)) == expected


@pytest.mark.parametrize(
    ("location", "options", "expected"),
    [
        ("http://KEY:hunter2@store/media", {}, []),
        ("http://KEY:hunter2@store/media", {"aws_session_token": "hunter2"}, ["W005"]),
        ("s3://media", {"aws_session_token": "hunter2", "use_ssl": False}, ["W005"]),
        ("s3://media", {"aws_session_token": "hunter2"}, []),
        ("https://KEY:hunter2@store/media", {"verify": False}, ["W006"]),
        ("http://KEY:hunter2@localhost/media", {"aws_session_token": "hunter2"}, []),
    ],
)
def test_s3(exposed: Any, location: str, options: dict[str, Any], expected: list[str]) -> None:
    """The secret key itself only signs."""
    assert ids(exposed(S3, location, **options)) == expected
