"""Which faults of a MongoDB alias are found before anything connects."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from poolapp import BackendUnavailable
from poolapp.backends.mongodb import MongoBackend
from tests.mongodb_server import MONGODB, mongodb_pool
from tests.real import config_of

URL = "mongodb://app:s3cret-word@db1:27017/shop"


def problems(*urls: str, settings: dict[str, Any] | None = None, **options: Any) -> list[Any]:
    """Each problem's setting, message and hint."""
    config = config_of(MONGODB, *urls, options=options, **settings or {})
    found = MongoBackend.problems(config)
    for each in found:
        assert each.hint.endswith((".", "?"))
        assert "s3cret-word" not in f"{each.message} {each.hint}"
    return [(each.setting, each.message, each.hint) for each in found]


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "mongodb://db1",
        "mongodb://db1,db2:27018,[::1]:27019/shop?replicaSet=rs0&readPreference=nearest",
        "mongodb+srv://app:s3cret-word@cluster.example.com/shop?retryWrites=true&w=majority",
        "mongodb://%2Ftmp%2Fmongodb-27017.sock/shop",
        "mongodb://app:p@ss#w:1%252@db1/?authSource=admin&TLS=true&tlsinsecure=true",
    ],
)
def test_good_urls_have_none(url: str) -> None:
    assert problems(url) == []


def test_good_options_have_none() -> None:
    options = {
        "authMechanism": "SCRAM-SHA-256",
        "compressors": "zlib",
        "maxpoolsize": 5,
        "readPreference": "nearest",
        "readPreferenceTags": ["dc:ny", ""],
        "retryWrites": False,
        "socketTimeoutMS": 20_000,
        "timeoutMS": 5000,
        "tz_aware": True,
        "uuidRepresentation": "standard",
    }
    assert problems(URL, **options) == []


@pytest.mark.parametrize(
    ("urls", "message", "hint"),
    [
        ((), "is missing", "Give one URL"),
        ((URL, URL), "is a list of several URLs", "commas"),
        (("mongo://db1/shop",), "has the scheme 'mongo'", "'mongodb://'"),
        (("mongodb:///shop",), "has an empty host", "mongodb://host:27017/name"),
        (("mongodb://db1,/shop",), "has an empty host", "mongodb://host:27017/name"),
        (("mongodb://db1:port/shop",), "a port is a number", "Percent-encode"),
        (("mongodb+srv://a,b/shop",), "several hosts or a port", "one host name"),
        (("mongodb+srv://a:27017/shop",), "several hosts or a port", "one host name"),
        ((f"{URL}?replicaset=a&replica=b",), "the parameter 'replica'", "mean 'replicaSet'?"),
        ((f"{URL}?zzz=1",), "the parameter 'zzz'", "Remove it."),
        ((f"{URL}?wtimeout=1",), "the parameter 'wtimeout'", "Use 'wTimeoutMS'."),
        ((f"{URL}?maxPoolSize=many",), "refused by the driver: .*maxpoolsize", "documentation"),
        (("mongodb://db1/sh op",), "refused by the driver: .*sh op", "documentation"),
    ],
)
def test_what_is_wrong_with_a_url(urls: tuple[str, ...], message: str, hint: str) -> None:
    (found,) = problems(*urls)
    assert found[0] == "LOCATION"
    assert re.search(message, found[1])
    assert hint in found[2]


@pytest.mark.parametrize(
    ("name", "value", "message", "hint"),
    [
        ("max_pool_size", 5, "is not an option", "Use MAX_SIZE of the alias."),
        ("maxPoolSiez", 5, "is not an option", "Did you mean 'maxPoolSize'?"),
        ("host", "db1", "is not an option", "Give the URL as LOCATION."),
        ("io_loop", None, "is not an option", "Each event loop has a client of its own."),
        ("ssl_ca_certs", "/ca.pem", "is not an option", "Use 'tlsCAFile'."),
        ("qqq", 1, "is not an option", "Remove it."),
        ("password", "s3cret-word", "stands in LOCATION too", "Keep one of them."),
        ("maxPoolSize", "many", "refused by the driver", "documentation"),
        ("tlsCAFile", "/nowhere/ca.pem", "refused by the driver", "documentation"),
        ("readPreference", "sometimes", "refused by the driver", "documentation"),
    ],
)
def test_what_is_wrong_with_an_option(name: str, value: Any, message: str, hint: str) -> None:
    more = {"tls": True} if name == "tlsCAFile" else {}
    (found,) = problems(URL, **{name: value}, **more)
    assert found[0] == f"OPTIONS[{name!r}]"
    assert message in found[1]
    assert hint in found[2]


def test_an_option_that_stands_in_the_url_too_in_any_case() -> None:
    found = problems(f"{URL}?maxpoolsize=5", maxPoolSize=6)
    assert found == [("OPTIONS['maxPoolSize']", "stands in LOCATION too", "Keep one of them.")]


def test_sizes_that_do_not_fit_together() -> None:
    (found,) = problems(URL, settings={"min_size": 5}, maxPoolSize=2)
    assert "minPoolSize must be smaller" in found[1]


async def test_where_a_loop_runs_the_driver_is_not_asked_and_the_connect_tells() -> None:
    """Importing it and reading certificates would hold up the loop."""
    options = {"tls": True, "tlsCAFile": "/nowhere/ca.pem"}
    assert problems(URL, **options) == []
    async with mongodb_pool(URL, options=options, acquire_timeout=60) as pool:
        with pytest.raises(BackendUnavailable, match=r"/nowhere/ca\.pem"):
            await pool.acquire()


def test_a_good_alias_is_judged_on_a_loop_without_importing_the_driver() -> None:
    code = f"""
import asyncio, sys
from poolapp.backends.mongodb import MongoBackend
from poolapp.core.config import Location, Options, PoolConfig
config = PoolConfig(
    alias="a", backend="b", locations=(Location.parse({URL + "?w=1"!r}),),
    options=Options({{"maxPoolSize": 5}}),
)
async def judge():
    return MongoBackend.problems(config)
assert asyncio.run(judge()) == []
assert "pymongo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
