"""Which faults of an Elasticsearch alias are found before anything connects."""

from __future__ import annotations

from typing import Any

import pytest

from poolapp.backends.elasticsearch import ElasticsearchBackend
from tests.real import elasticsearch_config

URL = "https://elastic:s3cret-word@es1:9200"


def problems(*urls: str, **options: Any) -> list[tuple[str, str, str]]:
    """Each problem's setting, message and hint."""
    found = ElasticsearchBackend.problems(elasticsearch_config(*urls, options=options))
    for each in found:
        assert each.hint.endswith((".", "?"))
        assert "s3cret-word" not in f"{each.message} {each.hint}"
    return [(each.setting, each.message, each.hint) for each in found]


@pytest.mark.parametrize(
    "urls",
    [
        (URL,),
        ("http://es1", "http://es2:9201"),
        ("http://es1:9200,es2:9200/prefix",),
        ("https://[::1]:9200",),
    ],
)
def test_good_urls_have_none(urls: tuple[str, ...]) -> None:
    assert problems(*urls) == []


def test_good_options_have_none() -> None:
    assert (
        problems(
            "https://es1:9200",
            connections_per_node=10,
            request_timeout=5,
            max_retries=5,
            retry_on_timeout=True,
            sniff_on_start=True,
            sniff_on_node_failure=True,
            sniff_before_requests=True,
            sniff_timeout=1,
            min_delay_between_sniffing=10,
            api_key="key",
            ca_certs="/ca.pem",
            verify_certs=True,
            ssl_assert_fingerprint="ab",
        )
        == []
    )


def test_a_cloud_id_takes_the_place_of_the_location() -> None:
    assert problems(cloud_id="name:abc", api_key="key") == []
    ((setting, message, _),) = problems("https://es1:9200", cloud_id="name:abc")
    assert setting == "LOCATION"
    assert "cloud_id" in message


def test_no_location() -> None:
    ((setting, message, _),) = problems()
    assert (setting, message) == ("LOCATION", "is missing")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("elastic://es1:9200", "'elastic'"),
        ("https://es1:port", "port"),
        ("https://es1:70000", "port"),
        ("https://", "host"),
        ("https://es1:9200,", "host"),
        ("https://es1:9200?verify_certs=false", "'verify_certs'"),
    ],
)
def test_a_bad_url(url: str, told: str) -> None:
    ((setting, message, _),) = problems(url)
    assert setting == "LOCATION"
    assert told in message


def test_urls_with_different_passwords() -> None:
    ((setting, message, _),) = problems(URL, "https://elastic:other@es2:9200")
    assert setting == "LOCATION"
    assert "different" in message


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("maxsize", "'connections_per_node'"),
        ("timeout", "'request_timeout'"),
        ("sniff_on_connection_fail", "'sniff_on_node_failure'"),
        ("sniffer_timeout", "'min_delay_between_sniffing'"),
        ("http_auth", "'basic_auth'"),
        ("use_ssl", "https://"),
        ("hosts", "LOCATION"),
        ("host_info_callback", "'sniffed_node_callback'"),
        ("max_retry", "'max_retries'"),
        ("zzz", "Remove it."),
    ],
)
def test_an_option_that_the_client_does_not_have(name: str, hint: str) -> None:
    ((setting, message, told),) = problems("https://es1:9200", **{name: 1})
    assert setting == f"OPTIONS[{name!r}]"
    assert "AsyncElasticsearch" in message
    assert hint in told


@pytest.mark.parametrize(
    ("url", "options"),
    [
        (URL, {"api_key": "key"}),
        (URL, {"basic_auth": ("a", "b")}),
        ("https://es1:9200", {"api_key": "key", "bearer_auth": "token"}),
    ],
)
def test_signing_in_in_two_ways(url: str, options: dict[str, Any]) -> None:
    ((setting, message, _),) = problems(url, **options)
    assert setting == "OPTIONS"
    assert "more than one way" in message
    assert "key" not in message.replace("api_key", "")


def test_all_are_told_at_once() -> None:
    assert len(problems("ftp://es1:x", maxsize=1, timeout=2)) == 4
