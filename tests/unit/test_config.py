"""Location, options and secrets: read once, shown never."""

import copy
import pickle
from typing import Any
from urllib.parse import quote

import pytest

from poolapp.core.config import Location, Options, PoolConfig, Secret, is_secret_name

NASTY = ["p@ss", "a/b", "a#b", "a:b", "100%", "%41", "@:/#%", "p?x", "ünï", "a b", "'\"\\"]


def parse(url: str) -> Location:
    return Location.parse(url)


@pytest.mark.parametrize("password", NASTY)
def test_a_percent_encoded_password_is_read(password: str) -> None:
    found = parse(f"postgresql://me:{quote(password, safe='')}@db:5432/shop?sslmode=require")
    assert found.password == Secret(password)
    assert (found.username, found.address, found.path) == ("me", "db:5432", "/shop")
    assert found.query == {"sslmode": "require"}


@pytest.mark.parametrize("password", ["p@ss", "a/b", "a#b", "a:b", "@:/#"])
def test_a_password_as_it_is_is_read_too(password: str) -> None:
    found = parse(f"postgresql://me:{password}@db:5432/shop")
    assert found.password == Secret(password)
    assert found.address == "db:5432"


@pytest.mark.parametrize(
    ("url", "username", "password"),
    [
        ("redis://host", None, None),
        ("redis://:pw@host", None, Secret("pw")),
        ("redis://me@host", "me", None),
        ("redis://me:@host", "me", Secret("")),
        ("s3://bucket", None, None),
    ],
)
def test_user_and_password_may_be_missing(
    url: str, username: str | None, password: Secret[str] | None
) -> None:
    found = parse(url)
    assert (found.username, found.password) == (username, password)


@pytest.mark.parametrize(
    "url", ["", "host", "host:5432", "//host", "1x://host", "://host", "a b://c"]
)
def test_what_is_no_url_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="starts with a scheme") as caught:
        parse(url + "hunter2")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "hosts"),
    [
        ("db", [("db", 5432)]),
        ("db:1", [("db", 1)]),
        ("a:1,b,c:3", [("a", 1), ("b", 5432), ("c", 3)]),
        ("[::1]", [("::1", 5432)]),
        ("[::1]:7", [("::1", 7)]),
    ],
)
def test_hosts_and_ports(address: str, hosts: list[tuple[str, int]]) -> None:
    assert parse(f"postgresql://{address}/x").hosts(5432) == hosts


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1", "5432x", "٣"])
def test_a_bad_port_is_refused(port: str) -> None:
    with pytest.raises(ValueError, match="from 1 to 65535"):
        parse(f"postgresql://db:{port}/x").hosts(5432)


def test_a_location_is_shown_without_password_and_query() -> None:
    found = parse("postgresql://me:hunter2@db:5432/shop?sslpassword=hunter3")
    assert found.shown == "postgresql://me:***@db:5432/shop"
    assert "hunter" not in repr(found)
    assert "hunter" not in str(found)


def test_a_secret_shows_nothing_and_is_not_pickled() -> None:
    secret = Secret("hunter2")
    assert f"{secret} {secret!r} {[secret]}" == "*** *** [***]"
    assert secret == Secret("hunter2")
    assert secret != Secret("other")
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    "name", ["password", "PASSWORD", "api_key", "apikey", "token", "secret_access_key", "http_auth"]
)
def test_names_that_stand_for_secrets(name: str) -> None:
    assert is_secret_name(name)


def test_options_show_flags_and_numbers_only() -> None:
    options = Options(
        {"retries": 3, "verify": True, "name": "hunter2", "pin_token": 1234, "x": None}
    )
    assert options.shown() == {
        "retries": 3, "verify": True, "name": "***", "pin_token": "***", "x": None,
    }  # fmt: skip
    assert "hunter2" not in repr(options)
    assert "1234" not in repr(options)


def test_options_can_not_be_changed() -> None:
    given: dict[str, Any] = {"a": 1}
    options = Options(given)
    given["a"] = 2
    assert options["a"] == 1
    with pytest.raises(TypeError):
        options["a"] = 2  # type: ignore[index]


def make(password: str) -> PoolConfig:
    url = f"postgresql://me:{quote(password, safe='')}@db/shop"
    options = Options({"api_key": "key-" + password, "nested": {"token": ["deep-token"]}})
    return PoolConfig(alias="a", backend="b.C", locations=(parse(url),), options=options)


@pytest.mark.parametrize("password", [each for each in NASTY if len(each) > 2])
def test_scrub_takes_every_form_of_every_secret_out_of_a_text(password: str) -> None:
    config = make(password)
    text = f"{password} {quote(password)} {quote(password, safe='')} key-{password} deep-token"
    assert password not in config.scrub(text)
    assert quote(password, safe="") not in config.scrub(text)
    assert "deep-token" not in config.scrub(text)


@pytest.mark.parametrize("password", NASTY)
def test_a_configuration_shows_no_secret(password: str) -> None:
    shown = repr(make(password))
    assert f":{password}@" not in shown
    assert "key-" not in shown
    assert "deep-token" not in shown


def test_configurations_that_differ_only_in_the_password_are_not_equal() -> None:
    assert make("one") != make("two")
    assert make("one") == make("one")


def test_a_configuration_can_not_be_changed_but_replaced() -> None:
    config = make("one")
    with pytest.raises(AttributeError):
        config.max_size = 3  # type: ignore[misc]
    changed = copy.copy(config).replace(max_size=3)
    assert (config.max_size, changed.max_size) == (10, 3)


def test_locations_may_be_a_function_that_is_asked_each_time() -> None:
    urls = iter(["fake://a", "fake://b"])
    config = PoolConfig(alias="a", backend="b.C", locations=lambda: (parse(next(urls)),))
    assert [config.where()[0].address, config.where()[0].address] == ["a", "b"]
