"""What each key of an alias takes, and what is said of what it does not take."""

import re
from typing import Any

import pytest

from poolapp.conf.reading import Declaration, Layer, read
from poolapp.core.config import Breaker, PoolConfig
from poolapp.core.exceptions import ConfigurationError

GOOD = {"BACKEND": "tests.fake.FakeBackend", "LOCATION": "fake://server:1"}


def declare(**settings: Any) -> Declaration:
    return read([Layer("settings.POOLS", {"shop": {**GOOD, **settings}})])


def config_of(**settings: Any) -> PoolConfig:
    declared = declare(**settings)
    assert declared.faults == ()
    return declared.configs["shop"]


def only_fault(**settings: Any) -> tuple[str, str, str]:
    (fault,) = declare(**settings).faults
    return fault.code, fault.sentence, fault.hint


def test_an_alias_with_only_what_is_required_has_the_documented_defaults() -> None:
    config = config_of()
    assert (config.min_size, config.max_size) == (0, 10)
    assert (config.acquire_timeout, config.max_waiting) == (5.0, None)
    assert (config.connect_timeout, config.check_timeout, config.close_timeout) == (10, 2, 10)
    assert (config.max_connecting, config.max_lifetime, config.idle_timeout) == (2, 3600, 300)
    assert (config.check_after, config.loops, config.prewarm) == (1, "own", False)
    assert (config.leak_after, config.breaker, config.health_interval) == (60, Breaker(), 60)
    assert dict(config.options) == {}


@pytest.mark.parametrize(
    ("key", "value", "field", "expected"),
    [
        ("MIN_SIZE", 10, "min_size", 10),
        ("MAX_SIZE", 1, "max_size", 1),
        ("ACQUIRE_TIMEOUT", 0, "acquire_timeout", 0.0),
        ("ACQUIRE_TIMEOUT", 2.5, "acquire_timeout", 2.5),
        ("MAX_WAITING", 0, "max_waiting", 0),
        ("MAX_WAITING", None, "max_waiting", None),
        ("CONNECT_TIMEOUT", 0.1, "connect_timeout", 0.1),
        ("CHECK_TIMEOUT", 3, "check_timeout", 3.0),
        ("CLOSE_TIMEOUT", 0, "close_timeout", 0.0),
        ("MAX_CONNECTING", 8, "max_connecting", 8),
        ("MAX_LIFETIME", 60, "max_lifetime", 60.0),
        ("IDLE_TIMEOUT", 0, "idle_timeout", 0.0),
        ("CHECK_AFTER", 0, "check_after", 0.0),
        ("LOOPS", "shared", "loops", "shared"),
        ("PREWARM", True, "prewarm", True),
        ("LEAK_AFTER", 1, "leak_after", 1.0),
        ("BREAKER", None, "breaker", None),
        ("BREAKER", {}, "breaker", Breaker()),
        ("BREAKER", {"FAILURES": 2}, "breaker", Breaker(failures=2)),
        ("BREAKER", {"RESET": 1, "FAILURES": 9}, "breaker", Breaker(failures=9, reset=1.0)),
        ("HEALTH_INTERVAL", 5, "health_interval", 5.0),
        ("HEALTH_INTERVAL", None, "health_interval", None),
    ],
)
def test_a_good_value_reaches_its_field(
    key: str, value: object, field: str, expected: object
) -> None:
    found = getattr(config_of(**{key: value}), field)
    assert found == expected
    assert type(found) is type(expected)


WHOLE = "must be a whole number of at least"
SECONDS = "must be a finite number of seconds"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("MIN_SIZE", -1, f"{WHOLE} 0, not -1"),
        ("MIN_SIZE", True, f"{WHOLE} 0, not True"),
        ("MIN_SIZE", 1.0, f"{WHOLE} 0, not 1.0"),
        ("MIN_SIZE", None, f"{WHOLE} 0, not None"),
        ("MAX_SIZE", 0, f"{WHOLE} 1, not 0"),
        ("MAX_SIZE", "20", f"{WHOLE} 1, not the text '20'"),
        ("MAX_SIZE", [20], f"{WHOLE} 1, not a list"),
        ("MAX_CONNECTING", 0, f"{WHOLE} 1, not 0"),
        ("MAX_WAITING", -1, f"{WHOLE} 0 or None, not -1"),
        ("MAX_WAITING", False, f"{WHOLE} 0 or None, not False"),
        ("ACQUIRE_TIMEOUT", None, f"{SECONDS}, at least 0, not None"),
        ("ACQUIRE_TIMEOUT", -0.1, f"{SECONDS}, at least 0, not -0.1"),
        ("ACQUIRE_TIMEOUT", True, f"{SECONDS}, at least 0, not True"),
        ("ACQUIRE_TIMEOUT", float("inf"), f"{SECONDS}, at least 0, not inf"),
        ("ACQUIRE_TIMEOUT", float("nan"), f"{SECONDS}, at least 0, not nan"),
        ("ACQUIRE_TIMEOUT", 10**400, f"{SECONDS}, at least 0, not a number of 401 digits"),
        ("ACQUIRE_TIMEOUT", "5s", f"{SECONDS}, at least 0, not the text '5s'"),
        ("CONNECT_TIMEOUT", 0, f"{SECONDS}, more than 0, not 0"),
        ("CHECK_TIMEOUT", 0.0, f"{SECONDS}, more than 0, not 0.0"),
        ("MAX_LIFETIME", 0, f"{SECONDS}, more than 0, not 0"),
        ("LEAK_AFTER", None, f"{SECONDS}, more than 0, not None"),
        ("HEALTH_INTERVAL", object(), f"{SECONDS}, more than 0, or None, not an object"),
        ("LOOPS", "each", "must be 'own' or 'shared', not the text 'each'"),
        ("LOOPS", None, "must be 'own' or 'shared', not None"),
        ("PREWARM", 1, "must be True or False, not 1"),
        ("BREAKER", 5, "must be a dictionary or None, not 5"),
        ("OPTIONS", [("a", 1)], "must be a dictionary, not a list"),
        ("OPTIONS", None, "must be a dictionary, not None"),
        ("OPTIONS", {1: 2}, "has a key that is no text but 1"),
        ("LOCATION", 5, "must be a URL, as a text, not 5"),
        ("LOCATION", [], "is an empty list"),
        ("LOCATION", None, "must be a URL, as a text, not None"),
        ("BACKEND", 5, "must be the dotted path of a backend class, not 5"),
        ("BACKEND", "Postgres", "is no dotted path of a class"),
        ("BACKEND", "a b.c", "is no dotted path of a class"),
    ],
)
def test_a_wrong_value_is_told_with_its_setting_and_a_hint(
    key: str, value: object, message: str
) -> None:
    code, sentence, hint = only_fault(**{key: value})
    assert code == "E003"
    assert sentence == f"POOLS['shop'][{key!r}] {message}."
    assert re.fullmatch(r"[A-Z'].*\.", hint)


def test_every_wrong_part_of_the_breaker_is_told() -> None:
    faults = declare(BREAKER={"FALURES": 1, "RESET": 0, "FAILURES": "5"}).faults
    assert [(fault.code, fault.where) for fault in faults] == [
        ("E002", "POOLS['shop']['BREAKER']['FALURES']"),
        ("E003", "POOLS['shop']['BREAKER']['RESET']"),
        ("E003", "POOLS['shop']['BREAKER']['FAILURES']"),
    ]
    assert faults[0].hint == "Did you mean 'FAILURES'?"


def test_every_wrong_url_of_a_list_is_told_by_its_place() -> None:
    faults = declare(LOCATION=["http://a", "nonsense", 3]).faults
    assert [fault.where for fault in faults] == [
        "POOLS['shop']['LOCATION'][1]",
        "POOLS['shop']['LOCATION'][2]",
    ]


def test_a_list_of_urls_keeps_its_order() -> None:
    config = config_of(LOCATION=["http://a:1", "http://b:2"])
    assert [location.address for location in config.where()] == ["a:1", "b:2"]


def test_surrounding_blanks_of_a_url_do_no_harm() -> None:
    assert config_of(LOCATION=" fake://a\n").where()[0].address == "a"


# -- LOCATION as a function -----------------------------------------------------------------------


def one_url() -> str:
    return "fake://me:hunter2@a"


def several_urls() -> list[str]:
    return ["fake://a", "fake://b"]


def no_url() -> int:
    return 5


def wrong_urls() -> list[str]:
    return ["fake://a", "hunter2"]


async def later() -> str:
    return "fake://a"


@pytest.mark.parametrize("place", [one_url, f"{__name__}.one_url"], ids=["itself", "its path"])
async def test_a_location_may_be_a_function_that_is_asked_for_each_connect(place: Any) -> None:
    config = config_of(LOCATION=place)
    assert config.where() == (), "nobody has asked yet"
    (location,) = await config.locate()
    assert location.shown == "fake://me:***@a"
    assert config.where() == (location,)


async def test_the_function_may_return_several_urls() -> None:
    config = config_of(LOCATION=several_urls)
    assert [each.address for each in await config.locate()] == ["a", "b"]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (no_url, "no_url() returned must be a URL, as a text, not 5"),
        (wrong_urls, "wrong_urls() returned can't be read: a URL starts with a scheme"),
        (f"{__name__}.nothing", "names 'tests.unit.test_conf_rules.nothing', which can't be"),
    ],
)
async def test_what_the_function_returns_is_checked(function: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await config_of(LOCATION=function).locate()
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_function_that_can_not_be_called_in_a_thread_is_a_fault() -> None:
    code, sentence, _ = only_fault(LOCATION=later)
    assert code == "E003"
    assert sentence.endswith(f"names {__name__}.later, which is no plain function.")


def test_the_same_function_is_the_same_setting() -> None:
    assert config_of(LOCATION=one_url) == config_of(LOCATION=one_url)
    assert config_of(LOCATION=one_url) != config_of(LOCATION=several_urls)
    assert config_of(LOCATION=f"{__name__}.one_url") == config_of(LOCATION=f"{__name__}.one_url")


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("MAX_SIZ", "MAX_SIZE"),
        ("max_size", "MAX_SIZE"),
        ("MINSIZE", "MIN_SIZE"),
        ("AQUIRE_TIMEOUT", "ACQUIRE_TIMEOUT"),
        ("OPTION", "OPTIONS"),
        ("LEAK_AFTR", "LEAK_AFTER"),
        ("DATABSE", "DATABASE"),
    ],
)
def test_an_unknown_key_is_told_with_the_one_that_was_meant(typo: str, meant: str) -> None:
    code, sentence, hint = only_fault(**{typo: 1})
    assert code == "E002"
    assert sentence == f"POOLS['shop'][{typo!r}] is no setting of a pool."
    assert hint == f"Did you mean {meant!r}?"


def test_an_unknown_key_like_no_other_is_told_with_all_there_are() -> None:
    _, _, hint = only_fault(COLOUR="red")
    assert hint.startswith("The keys are ACQUIRE_TIMEOUT, BACKEND, ")


@pytest.mark.parametrize(
    "place", ["LOCATION", "OPTIONS", "MAX_SIZE", "LOOPS", "BREAKER", "BACKEND"]
)
@pytest.mark.parametrize("kind", [str, lambda text: [text], lambda text: {"x": text}])
def test_no_text_of_a_fault_quotes_what_may_be_a_secret(place: str, kind: Any) -> None:
    secret = "user:hunter2-and-more@host"
    declared = declare(**{place: kind(secret)})
    shown = "".join(map(repr, declared.faults)) + repr(declared)
    assert "hunter2" not in shown
