"""Which faults of an HTTP alias are found before anything connects."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from poolapp.backends.http import HttpBackend
from tests.http_server import HTTP
from tests.real import config_of

URL = "https://user:s3cret-word@api.example.com"


def problems(*urls: str, **options: Any) -> list[tuple[str, str, str]]:
    """Each problem's setting, message and hint."""
    found = HttpBackend.problems(config_of(HTTP, *urls, options=options))
    for each in found:
        assert each.hint.endswith((".", "?"))
        assert "s3cret-word" not in f"{each.message} {each.hint}"
    return [(each.setting, each.message, each.hint) for each in found]


@pytest.mark.parametrize(
    "url", [URL, "http://localhost:8000/v2/", "https://[::1]:8443", "https://api.example.com"]
)
def test_good_urls_have_none(url: str) -> None:
    assert problems(url) == []


def test_good_options_have_none() -> None:
    options = {
        "auth": ("user", "s3cret-word"),
        "ca_file": "/ca.pem",
        "cert_file": "/client.pem",
        "check_path": "/health",
        "cookie_jar": aiohttp.CookieJar,
        "headers": {"X-Api-Key": "s3cret-word"},
        "keepalive_timeout": 30,
        "key_file": "/client.key",
        "limit": 10,
        "limit_per_host": 5,
        "max_body": 1,
        "raise_for_status": True,
        "retries": 0,
        "timeout": 2.5,
        "trust_env": True,
        "ttl_dns_cache": 60,
    }
    assert problems("https://api.example.com", **options) == []
    assert problems(URL, timeout=aiohttp.ClientTimeout(sock_read=5), keepalive_timeout=None) == []


def test_every_option_of_the_installed_driver_is_known_or_explained() -> None:
    import inspect

    named = {
        *inspect.signature(aiohttp.TCPConnector).parameters,
        *inspect.signature(aiohttp.ClientSession).parameters,
    }
    for name in named - {"auth"}:
        for setting, message, _ in problems("https://api.example.com", **{name: None}):
            if setting == f"OPTIONS[{name!r}]":
                assert "did you mean" not in message


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://api.example.com", "'ftp'"),
        ("https://api.example.com:port", "port"),
        ("https://api.example.com:70000", "port"),
        ("https://", "host"),
        ("https://one,two", "several hosts"),
        ("https://api.example.com?timeout=5", "'timeout'"),
    ],
)
def test_a_bad_url(url: str, told: str) -> None:
    ((setting, message, _),) = problems(url)
    assert setting == "LOCATION"
    assert told in message


@pytest.mark.parametrize("urls", [(), (URL, URL)])
def test_one_url_is_wanted(urls: tuple[str, ...]) -> None:
    (found, *_) = problems(*urls)
    assert (found[0], "one" in found[2]) == ("LOCATION", True)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("base_url", "LOCATION"),
        ("connector", "connector's own options"),
        ("conn_timeout", "CONNECT_TIMEOUT"),
        ("read_timeout", "'timeout'"),
        ("verify_ssl", "'ssl': False"),
        ("verify", "'ssl': False"),
        ("ca_certs", "'ca_file'"),
        ("max_retries", "'retries'"),
        ("loop", "each event loop"),
        ("limit_per_hosts", "Did you mean 'limit_per_host'?"),
        ("keepalive", "Did you mean 'keepalive_timeout'?"),
        ("nonsense_upon_stilts", "Remove it."),
    ],
)
def test_an_option_that_is_none(name: str, hint: str) -> None:
    ((setting, message, told),) = problems("https://api.example.com", **{name: 1})
    assert setting == f"OPTIONS[{name!r}]"
    assert "is not an option" in message
    assert hint in told


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout", "30"),
        ("timeout", 0),
        ("timeout", True),
        ("timeout", float("inf")),
        ("keepalive_timeout", "5"),
        ("keepalive_timeout", -1),
        ("limit_per_host", 1.5),
        ("limit_per_host", -1),
        ("retries", -1),
        ("retries", True),
        ("max_body", 0),
        ("max_body", "1M"),
        ("headers", "X-Api-Key: s3cret-word"),
        ("auth", "user:s3cret-word"),
        ("auth", ("user",)),
        ("ca_file", True),
        ("check_path", True),
        ("cookie_jar", "aiohttp.CookieJar"),
        ("resolver", object()),
    ],
)
def test_an_option_of_the_wrong_type(name: str, value: Any) -> None:
    (found, *_) = problems("https://api.example.com", **{name: value})
    assert found[0] == f"OPTIONS[{name!r}]"
    assert found[2].startswith("It must be")


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ({"ssl": False, "ca_file": "/ca.pem"}, "OPTIONS['ssl']"),
        ({"key_file": "/key.pem"}, "OPTIONS['key_file']"),
        ({"force_close": True, "keepalive_timeout": 5}, "OPTIONS['keepalive_timeout']"),
        ({"limit": 9}, "OPTIONS['limit']"),
        ({"cookies": {"a": "b"}}, "OPTIONS['cookies']"),
        ({"auth": ("a", "b"), "headers": {"authorization": "Bearer c"}}, "OPTIONS"),
    ],
)
def test_options_that_exclude_each_other(options: Any, setting: str) -> None:
    assert [each[0] for each in problems("https://api.example.com", **options)] == [setting]


@pytest.mark.parametrize(
    "options", [{"auth": ("a", "b")}, {"headers": {"Authorization": "Bearer c"}}], ids=str
)
def test_two_ways_to_sign_in(options: Any) -> None:
    ((setting, message, _),) = problems(URL, **options)
    assert setting == "OPTIONS"
    assert "the user in LOCATION" in message


def test_the_published_names_of_the_environment_set_what_they_say() -> None:
    assert HttpBackend.environment == {
        "CONNECTION_POOL_HTTP_TOTAL": "MAX_SIZE",
        "CONNECTION_POOL_HTTP_PER_HOST": "OPTIONS.limit_per_host",
        "CONNECTION_POOL_HTTP_KEEPALIVE": "OPTIONS.keepalive_timeout",
        "CONNECTION_POOL_HTTP_TIMEOUT": "OPTIONS.timeout",
    }
