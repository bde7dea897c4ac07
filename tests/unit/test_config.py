"""Location, options and secrets: read once, shown never."""

import copy
import pickle
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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


SCHEMES = (
    "postgresql", "postgres", "http", "https", "s3", "redis", "rediss", "unix", "redis+sentinel",
    "mongodb", "mongodb+srv", "ws", "wss", "smtp",
)  # fmt: skip
QUERIES = ["", "?a=1", "?a=%40%2F&b=x@y", "?endpoint=https://k:s@host/p?x"]


@given(
    scheme=st.sampled_from(SCHEMES),
    user=st.none() | st.text(min_size=1),
    password=st.none() | st.text(),
    address=st.sampled_from(["", "db", "db:5432", "a:1,b:2", "[::1]:7"]),
    path=st.sampled_from(["", "/", "/shop", "/a%2Fb"]),
    query=st.sampled_from(QUERIES),
)
def test_a_quoted_url_of_any_backend_is_read_back(
    scheme: str, user: str | None, password: str | None, address: str, path: str, query: str
) -> None:
    secret = "" if password is None else f":{quote(password, safe='')}"
    me = "" if user is None and password is None else f"{quote(user or '', safe='')}{secret}@"
    found = parse(f"{scheme}://{me}{address}{path}{query}")
    assert (found.scheme, found.username, found.address) == (scheme, user, address)
    assert found.password == (None if password is None else Secret(password))
    assert found.path == path
    assert dict(found.query) == dict(parse_qsl(query[1:], keep_blank_values=True))


@given(
    scheme=st.sampled_from(SCHEMES),
    password=st.text(st.characters(exclude_characters="?%", exclude_categories=["Cs"])),
    query=st.sampled_from(QUERIES),
)
@example("redis", "@/#:", "")
@example("mongodb", "p@ss/w#rd:x", "?a=1")
def test_a_password_is_read_as_it_stands_unless_it_holds_a_percent_or_question_mark(
    scheme: str, password: str, query: str
) -> None:
    found = parse(f"{scheme}://me:{password}@host:5432/name{query}")
    assert found.password == Secret(password)
    assert (found.username, found.address, found.path) == ("me", "host:5432", "/name")


@pytest.mark.parametrize(
    ("url", "address", "path"),
    [
        ("https://api.example.com/@me", "api.example.com", "/@me"),
        ("https://me@api.example.com/@you", "api.example.com", "/@you"),
        ("https://api.example.com/a/@b?c=@d", "api.example.com", "/a/@b"),
    ],
)
def test_an_at_sign_of_the_path_is_no_users(url: str, address: str, path: str) -> None:
    found = parse(url)
    assert (found.address, found.path, found.password) == (address, path, None)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("redis://localhost:6379", True),
        ("redis://LOCALHOST", True),
        ("redis://127.0.0.1", True),
        ("redis://127.1.2.3:1", True),
        ("redis://[::1]:6379", True),
        ("unix:///run/redis.sock", True),
        ("postgresql:///shop", True),
        ("postgresql:///shop?host=/run/postgresql", True),
        ("postgresql:///shop?host=db", False),
        ("postgresql://%2Frun%2Fpostgresql/shop", True),
        ("postgresql://localhost,127.0.0.1:5433/shop", True),
        ("postgresql://localhost,db/shop", False),
        ("redis://10.0.0.1", False),
        ("redis://[::2]:6379", False),
        ("redis://localhost.example.com", False),
        ("redis://localhost:port", False),
    ],
)
def test_which_servers_are_on_this_host(url: str, local: bool) -> None:
    assert parse(url).is_local is local


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
