"""Which faults of an S3 alias are found before anything connects."""

from __future__ import annotations

from typing import Any

import pytest

from poolapp.backends.s3 import S3Backend
from poolapp.backends.s3.place import Place
from poolapp.core.config import Location, PoolConfig
from tests.real import config_of

S3 = "poolapp.backends.s3.S3Backend"
AWS = "s3://media?region=eu-west-1"
OWN = "https://KEY:s3cret-word@minio:9000/media"


def problems(*urls: str, **options: Any) -> list[tuple[str, str, str]]:
    """Each problem's setting, message and hint."""
    found = S3Backend.problems(config_of(S3, *urls, options=options))
    for each in found:
        assert each.hint.endswith((".", "?"))
        assert "s3cret-word" not in f"{each.message} {each.hint}"
    return [(each.setting, each.message, each.hint) for each in found]


@pytest.mark.parametrize(
    "url",
    [
        AWS,
        OWN,
        "s3://media",
        "s3://?region=eu-west-1",
        "s3://KEY:s3cret-word@media?region=auto&endpoint=https://account.example.com",
        "http://127.0.0.1:8333/media?region=us-east-1",
        "https://[::1]:9000/media",
        "https://minio",
    ],
)
def test_good_urls_have_none(url: str) -> None:
    assert problems(url) == []


def test_good_options_have_none() -> None:
    options = {
        "aws_session_token": "token",
        "api_version": "2006-03-01",
        "client_cert": ("/client.pem", "/client.key"),
        "connect_timeout": 3,
        "connector_args": {"keepalive_timeout": 30},
        "max_pool_connections": 7,
        "proxies": {"https": "http://proxy:3128"},
        "read_timeout": 20,
        "retries": {"mode": "adaptive", "max_attempts": 5},
        "s3": {"addressing_style": "virtual"},
        "signature_version": "s3v4",
        "use_ssl": True,
        "verify": "/ca.pem",
    }
    assert problems(OWN, **options) == []
    assert problems("s3://media", region_name="eu-west-1", profile_name="work") == []
    assert problems("s3://media", endpoint_url="https://minio:9000") == []


def test_what_a_url_says() -> None:
    place = Place.of(Location.parse("https://KEY:a/b#c:d%25e@minio:9000/media?region=eu-west-1"))
    assert (place.endpoint, place.bucket) == ("https://minio:9000", "media")
    assert place.region == "eu-west-1"
    assert place.access_key == "KEY"
    assert place.secret_key is not None
    assert place.secret_key.reveal() == "a/b#c:d%e"
    assert "a/b" not in repr(place)
    place = Place.of(Location.parse("s3://media?region=eu-west-1"))
    assert (place.endpoint, place.bucket) == (None, "media")
    assert (place.access_key, place.secret_key) == (None, None)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://media", "'ftp'"),
        ("s3://media/folder", "path"),
        ("https://minio:9000/media/folder", "one bucket"),
        ("https://minio:port/media", "port"),
        ("https://one:1,two:2/media", "one host"),
        ("https:///media", "one host"),
        ("https://KEY@minio:9000/media", "go together"),
        ("https://:s3cret-word@minio:9000/media", "go together"),
        ("s3://media?endpoint=minio:9000", "'https://'"),
        ("s3://media?endpoint=https://KEY:s3cret-word@minio:9000", "in front of the bucket"),
        ("s3://media?zone=eu-west-1", "'zone'"),
        ("https://minio:9000/media?endpoint=https://other", "'endpoint'"),
    ],
)
def test_a_bad_url(url: str, told: str) -> None:
    ((setting, message, hint),) = problems(url)
    assert setting == "LOCATION"
    assert told in message + hint


@pytest.mark.parametrize("urls", [(), (AWS, OWN)])
def test_another_number_of_urls_than_one(urls: tuple[str, ...]) -> None:
    assert problems(*urls)[0][0] == "LOCATION"


def test_a_location_that_nobody_was_asked_for_yet_is_no_problem() -> None:
    config = PoolConfig(alias="asked", backend=S3, locations=lambda: ())
    assert S3Backend.problems(config) == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("max_connections", "MAX_SIZE"),
        ("addressing_style", "'s3'"),
        ("profile", "'profile_name'"),
        ("config", "straight into OPTIONS"),
        ("http_session_cls", "the pool's own"),
        ("timeout", "'read_timeout'"),
        ("region_nam", "'region_name'"),
        ("zzz", "Remove it."),
    ],
)
def test_an_option_that_the_driver_does_not_have(name: str, hint: str) -> None:
    ((setting, message, told),) = problems(AWS, **{name: 1})
    assert setting == f"OPTIONS[{name!r}]"
    assert "AioConfig" in message
    assert hint in told


@pytest.mark.parametrize(
    ("url", "options", "setting"),
    [
        (AWS, {"region_name": "us-east-1"}, "OPTIONS['region_name']"),
        (OWN, {"endpoint_url": "https://other"}, "OPTIONS['endpoint_url']"),
        (
            "s3://media?endpoint=https://minio",
            {"endpoint_url": "https://other"},
            "OPTIONS['endpoint_url']",
        ),
        (
            OWN,
            {"aws_access_key_id": "A", "aws_secret_access_key": "B"},
            "OPTIONS['aws_access_key_id']",
        ),
        (OWN, {"profile_name": "work"}, "OPTIONS['profile_name']"),
        (AWS, {"aws_access_key_id": "A"}, "OPTIONS['aws_access_key_id']"),
        (AWS, {"aws_secret_access_key": "A"}, "OPTIONS['aws_secret_access_key']"),
        (AWS, {"aws_session_token": "A"}, "OPTIONS['aws_session_token']"),
        (
            AWS,
            {"aws_access_key_id": "A", "aws_secret_access_key": "B", "profile_name": "work"},
            "OPTIONS",
        ),
        (AWS, {"max_pool_connections": 0}, "OPTIONS['max_pool_connections']"),
        (AWS, {"retries": 3}, "OPTIONS['retries']"),
        (AWS, {"retries": {"max_attemps": 3}}, "OPTIONS['retries']"),
        (AWS, {"s3": {"addressing_style": "paths"}}, "OPTIONS['s3']"),
    ],
)
def test_options_that_contradict_or_make_no_sense(
    url: str, options: dict[str, Any], setting: str
) -> None:
    ((found, _, _),) = problems(url, **options)
    assert found == setting


def test_all_are_told_at_once() -> None:
    assert len(problems("s3://media/x?zone=1", timeout=1, retries=1)) == 4
