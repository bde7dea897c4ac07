"""What is wrong with a Redis alias is found before anything connects."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from poolapp.backends.redis import RedisBackend
from poolapp.core.backend import Problem
from tests.valkey import redis_config

URL = "redis://127.0.0.1:6379/0"


def problems(*urls: str, **settings: Any) -> list[Problem]:
    return RedisBackend.problems(redis_config(*urls, **settings))


@pytest.mark.parametrize(
    "urls",
    [
        [URL],
        ["redis://"],
        ["rediss://user:p@ss@host:6380/15?ssl_cert_reqs=none"],
        ["unix:///run/redis.sock?db=2"],
        ["redis://[::1]:6379"],
        ["redis+sentinel://a,b:26380/main/1"],
        ["redis+sentinel://a/main", "redis+sentinel://b/main"],
        ["rediss+cluster://:secret@a:1,b:2"],
    ],
)
def test_urls_that_make_sense(urls: list[str]) -> None:
    assert problems(*urls) == []


@pytest.mark.parametrize(
    ("urls", "message", "hint"),
    [
        ([], "is missing", "redis://host:6379/0"),
        (["http://host"], "scheme 'http'", "redis+cluster://"),
        (["redis://host:port/0"], "port is a number", "Percent-encode"),
        (["redis://host:0/0"], "port is a number", "Percent-encode"),
        (["redis://host/shop"], "no number of a database", "redis://host:6379/0"),
        (["redis://host/1/2"], "no number of a database", "redis://host:6379/0"),
        (["redis://a,b/0"], "more than one server", "redis+sentinel"),
        (["redis://a/0", "redis://b/0"], "more than one server", "an alias each"),
        (["redis://a/0", "redis://b/1"], "differ in more than their hosts", "the same in each"),
        (["redis+sentinel://a/m", "redis+sentinel://:x@b/m"], "differ", "the same in each"),
        (["redis+sentinel://a"], "doesn't name the service", "/service/0"),
        (["redis+cluster://a/1"], "one only", "redis+cluster"),
        (["unix://"], "path of a socket", "unix:///path"),
        (["unix://host/run/x.sock"], "path of a socket", "unix:///path"),
        ([f"{URL}?socket_timeout=soon"], "'socket_timeout' whose value", "redis://host:6379/0"),
        ([f"{URL}?sockettimeout=1"], "parameter 'sockettimeout'", "mean 'socket_timeout'"),
        ([f"{URL}?ssl_ca_certs=/x"], "parameter 'ssl_ca_certs'", "'rediss://'"),
    ],
)
def test_urls_that_make_none(urls: list[str], message: str, hint: str) -> None:
    (problem,) = problems(*urls)
    assert problem.setting == "LOCATION"
    assert message in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("url", "options", "message", "hint"),
    [
        (URL, {"socket_timout": 1}, "not an option of redis.asyncio.Redis", "'socket_timeout'?"),
        (URL, {"qwertyuiop": 1}, "not an option", "Remove it."),
        (URL, {"host": "x"}, "not an option", "into LOCATION"),
        (URL, {"connection_pool": 1}, "not an option", "makes its own"),
        (URL, {"ssl": True}, "not an option", "rediss://"),
        (URL, {"timeout": 1}, "not an option", "ACQUIRE_TIMEOUT"),
        (URL, {"single_connection_client": True}, "not an option", "is shared"),
        (URL, {"ssl_ca_certs": "/x"}, "speak TLS", "'rediss://'"),
        (URL, {"sentinel_kwargs": {}}, "of Sentinels", "emove it"),
        (URL, {"read_from_replicas": True}, "of a cluster", "Remove it"),
        ("unix:///x", {"socket_keepalive": True}, "(unix)", "Did you mean|Remove"),
        ("redis+cluster://a", {"db": 1}, "(cluster)", "Remove it"),
        (URL, {"socket_timeout": "5"}, "number of seconds", "'str'"),
        (URL, {"protocol": 4}, "2 or 3", "'int'"),
        (URL, {"decode_responses": "yes"}, "True or False", "'str'"),
        (URL, {"db": 1}, "stands in LOCATION too", "Keep one"),
        (f"{URL}?protocol=3", {"protocol": 2}, "stands in LOCATION too", "Keep one"),
        ("redis://:x@a", {"password": "y"}, "stands in LOCATION too", "Keep one"),
        ("redis://:x@a", {"credential_provider": object()}, "excludes", "Keep one"),
        (URL, {"max_connections": 3}, "below MAX_SIZE (10)", "Remove it"),
    ],
)
def test_options_that_make_no_sense(
    url: str, options: dict[str, Any], message: str, hint: str
) -> None:
    (problem,) = problems(url, options=options)
    (name,) = options
    assert problem.setting == f"OPTIONS[{name!r}]"
    assert message in problem.message
    assert any(each in problem.hint for each in hint.split("|"))


@pytest.mark.parametrize(
    ("url", "options"),
    [
        (URL, {"socket_timeout": None, "retry_on_error": [], "parser_class": object}),
        (URL, {"max_connections": 10, "socket_keepalive_options": {}}),
        ("rediss://a", {"ssl_ca_certs": "/x", "ssl_min_version": 771}),
        ("redis+sentinel://a/m", {"is_master": False, "sentinel_kwargs": {"password": "x"}}),
        ("redis+cluster://a", {"read_from_replicas": True, "retry": object()}),
    ],
)
def test_options_that_do(url: str, options: dict[str, Any]) -> None:
    assert problems(url, options=options) == []


def test_no_problem_shows_a_secret() -> None:
    options = {"password": "other-secret", "passwrd": "third-secret"}
    found = problems("redis://:s3cret@a:x/0?password=s3cret", options=options)
    found += problems("redis://:s3cret@a/0", options=options)
    assert found
    assert "cret" not in repr(found).replace("is_secret", "")


def test_the_published_names_set_what_they_say() -> None:
    assert RedisBackend.environment == {
        "CONNECTION_POOL_REDIS_MAX": "MAX_SIZE",
        "CONNECTION_POOL_REDIS_TIMEOUT": "OPTIONS.socket_timeout",
    }


def test_the_driver_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys; from poolapp.backends.redis import RedisBackend;"
        "assert 'redis' not in sys.modules, 'imported'"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], env=dict(os.environ), capture_output=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
