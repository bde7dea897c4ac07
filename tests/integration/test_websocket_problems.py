"""WebSocket: mistakes in LOCATION and OPTIONS, found without connecting."""

from __future__ import annotations

from typing import Any

import pytest

from poolapp.backends.websocket import WebSocketBackend
from tests.feed import WEBSOCKET
from tests.real import config_of

URL = "wss://example.com/prices"


def problems(*urls: str, **options: Any) -> list[tuple[str, str, str]]:
    found = WebSocketBackend.problems(config_of(WEBSOCKET, *(urls or (URL,)), options=options))
    return [(each.setting, each.message, each.hint) for each in found]


async def on_connect(connection: Any, topics: Any) -> None: ...


def test_a_good_configuration_has_none() -> None:
    assert problems() == []
    assert problems("ws://user:p%40ss@127.0.0.1:8000/x?key=1") == []
    good = {
        "additional_headers": {"X": "y"},
        "family": 2,
        "init": on_connect.__module__ + ".on_connect",
        "linger": 0,
        "max_size": None,
        "on_connect": on_connect,
        "ping_interval": 0,
        "ping_timeout": None,
        "proxy": None,
        "reconnect": False,
        "topic_of": "json.loads",
        "write_limit": 1,
    }
    assert problems(**good) == []


@pytest.mark.parametrize(
    ("urls", "said"),
    [
        (["https://example.com/"], "has the scheme 'https'"),
        (["wss:///prices"], "must name one host"),
        (["wss://a,b/prices"], "must name one host"),
        (["wss://a:99999/prices"], "can't be read"),
        (["wss://user@a/prices"], "user without a password"),
        (["wss://a/prices#x"], "fragment"),
        (["wss://a/", "wss://b/"], "list of several"),
    ],
)
def test_of_the_location(urls: list[str], said: str) -> None:
    ((setting, message, hint),) = problems(*urls)
    assert setting == "LOCATION"
    assert said in message
    assert hint


def test_no_location() -> None:
    config = config_of(WEBSOCKET)
    assert [each.message for each in WebSocketBackend.problems(config)] == ["is missing"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ping_intervall", "Did you mean 'ping_interval'?"),
        ("extra_headers", "Use 'additional_headers'."),
        ("heartbeat", "Use 'ping_interval'."),
        ("uri", "Give the URL as LOCATION."),
        ("sock", "One socket can't serve several connections; give the URL as LOCATION."),
        ("zzzzzz", "Remove it."),
    ],
)
def test_of_options_that_are_none(name: str, hint: str) -> None:
    assert problems(**{name: 1}) == [
        (f"OPTIONS[{name!r}]", "is not an option of a WebSocket connection", hint)
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("init", "not.there"),
        ("linger", -1),
        ("on_connect", print),
        ("ping_interval", "20"),
        ("ping_timeout", True),
        ("reconnect", "soon"),
        ("topic_of", 3),
    ],
)
def test_of_values(name: str, value: Any) -> None:
    ((setting, message, hint),) = problems(**{name: value})
    assert setting == f"OPTIONS[{name!r}]"
    assert message.startswith("must be ")
    assert hint


def test_ssl_on_a_plain_url() -> None:
    ((setting, _, hint),) = problems("ws://example.com/", ssl=True)
    assert setting == "OPTIONS['ssl']"
    assert "wss://" in hint


def test_the_environment_names() -> None:
    assert WebSocketBackend.environment == {
        "CONNECTION_POOL_WS_MAX": "MAX_SIZE",
        "CONNECTION_POOL_WS_HEARTBEAT": "OPTIONS.ping_interval",
        "CONNECTION_POOL_WS_RECONNECT": "OPTIONS.reconnect",
    }
