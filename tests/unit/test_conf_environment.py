"""Settings from environment variables: which alias, which key, which value, and what is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from poolapp import BaseBackend, conf
from poolapp.conf import environment
from poolapp.conf.reading import Declaration, Layer, read
from poolapp.conf.rules import KEYS
from poolapp.core.config import Breaker

FAKE = "tests.fake.FakeBackend"
GOOD = {"BACKEND": FAKE, "LOCATION": "fake://server:1"}


class PublishingBackend(BaseBackend[object]):
    environment = {  # noqa: RUF012
        "PUBLISHED_MAX": "MAX_SIZE",
        "PUBLISHED_MAX_TOO": "MAX_SIZE",
        "PUBLISHED_LIMIT": "OPTIONS.limit",
        "PUBLISHED_BREAKER": "BREAKER",
    }


class DerivedBackend(PublishingBackend):
    pass


PUBLISHING = f"{__name__}.PublishingBackend"
DERIVED = f"{__name__}.DerivedBackend"


def declare(variables: dict[str, str], **aliases: object) -> Declaration:
    beneath = [Layer("settings.POOLS", aliases or {"shop": GOOD})]
    return read([*beneath, *environment.layers(variables, beneath)])


def config_of(**variables: str) -> Any:
    declared = declare(variables)
    assert (declared.faults, declared.warnings) == ((), ())
    return declared.configs["shop"]


# -- POOL_<ALIAS>_<KEY> ----------------------------------------------------------------------------

VALUES = {
    "BACKEND": (FAKE, "backend", FAKE),
    "MIN_SIZE": ("2", "min_size", 2),
    "MAX_SIZE": ("20", "max_size", 20),
    "ACQUIRE_TIMEOUT": ("2.5", "acquire_timeout", 2.5),
    "MAX_WAITING": ("none", "max_waiting", None),
    "CONNECT_TIMEOUT": ("3", "connect_timeout", 3.0),
    "CHECK_TIMEOUT": ("0.5", "check_timeout", 0.5),
    "CLOSE_TIMEOUT": ("0", "close_timeout", 0.0),
    "MAX_CONNECTING": ("4", "max_connecting", 4),
    "MAX_LIFETIME": ("1e3", "max_lifetime", 1000.0),
    "IDLE_TIMEOUT": ("60", "idle_timeout", 60.0),
    "CHECK_AFTER": ("0", "check_after", 0.0),
    "LOOPS": ("shared", "loops", "shared"),
    "PREWARM": ("yes", "prewarm", True),
    "LEAK_AFTER": (" 30 ", "leak_after", 30.0),
    "BREAKER": ('{"failures": 3}', "breaker", Breaker(failures=3)),
    "HEALTH_INTERVAL": ("None", "health_interval", None),
    "FLEET_MAX": ("80", "fleet_max", 80),
}


@pytest.mark.parametrize("key", VALUES)
def test_every_key_can_be_set(key: str) -> None:
    text, field, expected = VALUES[key]
    found = getattr(config_of(**{f"POOL_SHOP_{key}": text}), field)
    assert found == expected
    assert type(found) is type(expected)


def test_no_key_is_forgotten() -> None:
    assert {*VALUES, "LOCATION", "DATABASE", "OPTIONS"} == set(KEYS)


@pytest.mark.parametrize(
    ("text", "value"),
    [(each, True) for each in ("1", "true", "TRUE", "on", "Yes")]
    + [(each, False) for each in ("0", "false", "Off", "no")],
)
def test_flags_may_be_written_in_many_ways(text: str, value: bool) -> None:
    assert config_of(POOL_SHOP_PREWARM=text).prewarm is value


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("fake://a:1", ["a:1"]),
        ("fake://a:1,b:2/x", ["a:1,b:2"]),
        ("fake://a:1,fake://b:2", ["a:1", "b:2"]),
        ("fake://a:1, fake://b,c", ["a:1", "b,c"]),
        ('["fake://a:1", "fake://b:2"]', ["a:1", "b:2"]),
    ],
)
def test_one_url_or_several(text: str, addresses: list[str]) -> None:
    config = config_of(POOL_SHOP_LOCATION=text)
    assert [location.address for location in config.where()] == addresses


def test_options_are_merged_name_by_name_and_each_keeps_its_source() -> None:
    shop = {**GOOD, "OPTIONS": {"retries": 1, "verify": True}}
    declared = declare({"POOL_SHOP_OPTIONS": '{"retries": 5, "name": "x"}'}, shop=shop)
    assert dict(declared.configs["shop"].options) == {"retries": 5, "verify": True, "name": "x"}
    assert declared.given["shop"]["OPTIONS"].names == {
        "retries": "POOL_SHOP_OPTIONS",
        "verify": "settings.POOLS",
        "name": "POOL_SHOP_OPTIONS",
    }


def test_a_location_takes_the_place_of_a_database() -> None:
    shop = {"BACKEND": FAKE, "DATABASE": "default"}
    declared = declare({"POOL_SHOP_LOCATION": "fake://a"}, shop=shop)
    assert declared.configs["shop"].where()[0].address == "a"
    declared = declare({"POOL_SHOP_DATABASE": "default"})
    assert declared.configs["shop"].where()[0].scheme == "postgresql"


def test_a_location_and_a_database_exclude_one_another_here_too() -> None:
    declared = declare({"POOL_SHOP_LOCATION": "fake://a", "POOL_SHOP_DATABASE": "default"})
    (fault,) = declared.faults
    assert fault.sentence == (
        "The environment variable POOL_SHOP_LOCATION and POOL_SHOP_DATABASE exclude one another."
    )
    assert declared.configs == {}


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_variable_is_not_set(text: str) -> None:
    assert config_of(POOL_SHOP_MAX_SIZE=text).max_size == 10


@pytest.mark.parametrize(
    ("alias", "variable"),
    [("read-replica", "POOL_READ_REPLICA_MAX_SIZE"), ("Cache_2", "POOL_CACHE_2_MAX_SIZE")],
)
def test_an_alias_is_written_in_capitals_with_underscores(alias: str, variable: str) -> None:
    assert declare({variable: "7"}, **{alias: GOOD}).configs[alias].max_size == 7


def test_an_alias_within_the_name_of_another_is_not_confused_with_it() -> None:
    aliases = {"shop": GOOD, "shop_max": GOOD, "shop-max-size": GOOD}
    variables = {
        "POOL_SHOP_MAX_SIZE": "2",
        "POOL_SHOP_MAX_MAX_SIZE": "3",
        "POOL_SHOP_MAX_SIZE_MAX_SIZE": "4",
    }
    declared = declare(variables, **aliases)
    assert (declared.faults, declared.warnings) == ((), ())
    assert {alias: config.max_size for alias, config in declared.configs.items()} == {
        "shop": 2,
        "shop_max": 3,
        "shop-max-size": 4,
    }


def test_aliases_that_read_alike_are_told() -> None:
    declared = declare({"POOL_A_B_MAX_SIZE": "7"}, **{"a-b": GOOD, "a_b": GOOD})
    (fault,) = declared.faults
    assert fault.code == "E010"
    assert str(fault) == (
        "The environment variable POOL_A_B_MAX_SIZE may be for 'a-b' and for 'a_b', which read "
        "alike. Rename one of these aliases."
    )
    assert {config.max_size for config in declared.configs.values()} == {10}


def test_an_alias_may_be_declared_here_alone() -> None:
    declared = declare({"POOL_NEW_ONE_BACKEND": FAKE, "POOL_NEW_ONE_LOCATION": "fake://a"})
    assert declared.configs["new_one"].where()[0].address == "a"
    assert declared.given["new_one"]["BACKEND"].source == "POOL_NEW_ONE_BACKEND"


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("MAX_SIZE", "ten", "must be a whole number of at least 1, not the text 'ten'"),
        ("MAX_SIZE", "7.5", "must be a whole number of at least 1, not 7.5"),
        ("ACQUIRE_TIMEOUT", "inf", "must be a finite number of seconds, at least 0, not inf"),
        ("PREWARM", "maybe", "must be True or False, not the text 'maybe'"),
        ("BREAKER", "5", "must be a dictionary or None, not 5"),
        ("BREAKER", "{5", "is no JSON: Expecting property name enclosed in double quotes"),
        ("OPTIONS", "[]", "must be a dictionary, not a list"),
        ("OPTIONS", "hunter2-hunter2", "is no JSON: Expecting value"),
        ("LOCATION", "nonsense", "can't be read: a URL starts with a scheme"),
        ("LOCATION", "[", "is no JSON: Expecting value"),
    ],
)
def test_a_value_that_can_not_be_read_is_told_with_its_variable(
    key: str, text: str, message: str
) -> None:
    declared = declare({f"POOL_SHOP_{key}": text})
    (fault,) = declared.faults
    assert fault.code == "E003"
    assert fault.sentence.startswith(f"POOLS['shop'][{key!r}] (from POOL_SHOP_{key}) {message}")
    assert fault.hint.endswith(".")
    assert "hunter2" not in str(fault) + repr(declared)
    assert declared.configs == {}


def test_sizes_that_cross_are_told_with_both_variables() -> None:
    declared = declare({"POOL_SHOP_MIN_SIZE": "9", "POOL_SHOP_MAX_SIZE": "3"})
    (fault,) = declared.faults
    assert fault.sentence == (
        "POOLS['shop']['MIN_SIZE'] (from POOL_SHOP_MIN_SIZE) is 9, more than MAX_SIZE, which is 3 "
        "(from POOL_SHOP_MAX_SIZE)."
    )


# -- what sets nothing -----------------------------------------------------------------------------


def only_warning(name: str, **aliases: object) -> tuple[str, str]:
    declared = declare({name: "1"}, **aliases)
    assert declared.faults == ()
    (warning,) = declared.warnings
    assert warning.is_warning
    return warning.code, str(warning)


def test_a_typo_in_the_key_is_a_warning_with_the_key_that_was_meant() -> None:
    assert only_warning("POOL_SHOP_MAX_SIZ") == (
        "W003",
        (
            "The environment variable POOL_SHOP_MAX_SIZ sets nothing: 'MAX_SIZ' is no setting of "
            "pool 'shop'. Did you mean 'MAX_SIZE'?"
        ),
    )


def test_a_typo_in_the_key_is_told_of_the_longest_alias_that_fits() -> None:
    _, text = only_warning("POOL_SHOP_CACHE_MAXSIZE", **{"shop": GOOD, "shop-cache": GOOD})
    assert "of pool 'shop-cache'. Did you mean 'MAX_SIZE'?" in text


def test_a_typo_in_the_alias_is_a_warning_with_the_alias_that_was_meant() -> None:
    assert only_warning("POOL_SOHP_MAX_SIZE", **{"shop": GOOD, "my-cache": GOOD}) == (
        "W004",
        (
            "The environment variable POOL_SOHP_MAX_SIZE sets nothing: POOLS declares no such "
            "alias. Did you mean 'shop'?"
        ),
    )
    _, text = only_warning("POOL_ZZZZ_MAX_SIZE", **{"shop": GOOD, "my-cache": GOOD})
    assert text.endswith("The aliases are my-cache, shop.")


@pytest.mark.parametrize("name", ["POOL_SIZE", "POOL_OF_TEARS", "POOL_", "POOLS", "pool_shop_max"])
def test_what_looks_like_somebody_elses_is_left_alone(name: str) -> None:
    declared = declare({name: "1"})
    assert (declared.faults, declared.warnings) == ((), ())


# -- published names -------------------------------------------------------------------------------


def published(variables: dict[str, str], **settings: object) -> Declaration:
    one = {**GOOD, "BACKEND": PUBLISHING, **settings}
    two = {**GOOD, "BACKEND": DERIVED}
    return declare(variables, one=one, two=two, other=GOOD)


def test_a_published_name_is_for_every_alias_of_that_kind_of_backend() -> None:
    declared = published({"PUBLISHED_MAX": "33"}, MAX_SIZE=5)
    assert {alias: config.max_size for alias, config in declared.configs.items()} == {
        "one": 33,
        "two": 33,
        "other": 10,
    }
    assert declared.given["one"]["MAX_SIZE"].source == "PUBLISHED_MAX"


def test_a_published_name_may_set_one_option() -> None:
    declared = published({"PUBLISHED_LIMIT": "7"}, OPTIONS={"limit": 1, "verify": True})
    assert dict(declared.configs["one"].options) == {"limit": 7, "verify": True}
    assert dict(declared.configs["two"].options) == {"limit": 7}
    assert declared.given["one"]["OPTIONS"].names["limit"] == "PUBLISHED_LIMIT"


@pytest.mark.parametrize(
    ("text", "value"),
    [("7", 7), ("0.5", 0.5), ("off", False), ("None", None), ("[1]", [1]), ("words", "words")],
)
def test_the_value_of_an_option_is_what_it_looks_like(text: str, value: object) -> None:
    found = published({"PUBLISHED_LIMIT": text}).configs["two"].options["limit"]
    assert found == value
    assert type(found) is type(value)


def test_without_any_alias_it_says_how_one_is_declared() -> None:
    (layer,) = environment.layers({"POOL_SHOP_MAX_SIZE": "3"}, [])
    (warning,) = layer.faults
    assert warning.hint == "An alias is declared in POOLS, or by POOL_<ALIAS>_BACKEND."


def test_of_two_published_names_the_one_that_is_named_later_wins() -> None:
    declared = published({"PUBLISHED_MAX_TOO": "3", "PUBLISHED_MAX": "2"})
    assert declared.configs["one"].max_size == 3


def test_the_variable_of_one_alias_wins_over_a_published_name() -> None:
    declared = published({"PUBLISHED_MAX": "2", "POOL_ONE_MAX_SIZE": "3"})
    assert (declared.configs["one"].max_size, declared.configs["two"].max_size) == (3, 2)


def test_a_backend_that_is_named_by_the_environment_publishes_its_names_too() -> None:
    declared = published({"PUBLISHED_MAX": "2", "POOL_OTHER_BACKEND": PUBLISHING})
    assert declared.configs["other"].max_size == 2


def test_a_published_name_that_can_not_be_read_is_told_for_each_alias() -> None:
    declared = published({"PUBLISHED_MAX": "many", "PUBLISHED_BREAKER": "{"})
    assert {fault.where for fault in declared.faults} == {
        "POOLS['one']['MAX_SIZE'] (from PUBLISHED_MAX)",
        "POOLS['two']['MAX_SIZE'] (from PUBLISHED_MAX)",
        "POOLS['one']['BREAKER'] (from PUBLISHED_BREAKER)",
        "POOLS['two']['BREAKER'] (from PUBLISHED_BREAKER)",
    }
    assert list(declared.configs) == ["other"]


@pytest.mark.parametrize("backend", ["no.such.Backend", "tests.fake.Gate", 5, None])
def test_a_backend_that_can_not_be_imported_publishes_nothing(backend: object) -> None:
    declared = declare({"PUBLISHED_MAX": "2"}, shop={**GOOD, "BACKEND": backend}, other=GOOD)
    assert declared.configs["other"].max_size == 10


# The published names of every backend of this package, and what each of them sets.
PUBLISHED = {
    "CONNECTION_POOL_DB_MIN": ("postgres.PostgresBackend", "MIN_SIZE"),
    "CONNECTION_POOL_DB_MAX": ("postgres.PostgresBackend", "MAX_SIZE"),
    "CONNECTION_POOL_DB_IDLE_TIMEOUT": ("postgres.PostgresBackend", "IDLE_TIMEOUT"),
    "CONNECTION_POOL_DB_COMMAND_TIMEOUT": ("postgres.PostgresBackend", "OPTIONS.command_timeout"),
    "POSTGRES_POOL_MIN_SIZE": ("postgres.PostgresBackend", "MIN_SIZE"),
    "POSTGRES_POOL_MAX_SIZE": ("postgres.PostgresBackend", "MAX_SIZE"),
    "POSTGRES_POOL_TIMEOUT": ("postgres.PostgresBackend", "ACQUIRE_TIMEOUT"),
    "ES_POOL_CONNECTIONS": (
        "elasticsearch.ElasticsearchBackend",
        "OPTIONS.connections_per_node",
    ),
    "ES_POOL_MAXSIZE": ("elasticsearch.ElasticsearchBackend", "MAX_SIZE"),
    "S3_POOL_MAX_CONNECTIONS": ("s3.S3Backend", "MAX_SIZE"),
    "CONNECTION_POOL_REDIS_MAX": ("redis.RedisBackend", "MAX_SIZE"),
    "CONNECTION_POOL_REDIS_TIMEOUT": ("redis.RedisBackend", "OPTIONS.socket_timeout"),
    "CONNECTION_POOL_HTTP_TOTAL": ("http.HttpBackend", "MAX_SIZE"),
    "CONNECTION_POOL_HTTP_PER_HOST": ("http.HttpBackend", "OPTIONS.limit_per_host"),
    "CONNECTION_POOL_HTTP_KEEPALIVE": ("http.HttpBackend", "OPTIONS.keepalive_timeout"),
    "CONNECTION_POOL_HTTP_TIMEOUT": ("http.HttpBackend", "OPTIONS.timeout"),
    "CONNECTION_POOL_WS_MAX": ("websocket.WebSocketBackend", "MAX_SIZE"),
    "CONNECTION_POOL_WS_HEARTBEAT": ("websocket.WebSocketBackend", "OPTIONS.ping_interval"),
    "CONNECTION_POOL_WS_RECONNECT": ("websocket.WebSocketBackend", "OPTIONS.reconnect"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_name_of_this_package_works(name: str) -> None:
    path, target = PUBLISHED[name]
    backend = f"poolapp.backends.{path}"
    shop = {"BACKEND": backend, "LOCATION": "any://server"}
    declared = declare({name: "4"}, shop=shop, other=GOOD)
    key, _, option = target.partition(".")
    given = declared.given["shop"][key]
    assert (given.value, given.source) == ({option: 4} if option else 4, name)
    assert key not in declared.given["other"]


# -- for all ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15", 15.0), ("1", 1.0), ("on", 60.0), ("true", 60.0), ("off", None), ("0", None)],
)
def test_the_health_check_of_all_aliases(text: str, seconds: float | None) -> None:
    declared = published({"CONNECTION_POOL_HEALTH_CHECK": text})
    assert {config.health_interval for config in declared.configs.values()} == {seconds}
    assert len(declared.configs) == 3


def test_the_health_check_of_one_alias_wins() -> None:
    declared = published({"CONNECTION_POOL_HEALTH_CHECK": "off", "POOL_ONE_HEALTH_INTERVAL": "5"})
    assert declared.configs["one"].health_interval == 5
    assert declared.configs["two"].health_interval is None


def test_a_health_check_that_can_not_be_read_is_told() -> None:
    declared = declare({"CONNECTION_POOL_HEALTH_CHECK": "often"})
    (fault,) = declared.faults
    assert "(from CONNECTION_POOL_HEALTH_CHECK) must be a finite number of seconds" in str(fault)


@pytest.mark.parametrize(
    ("text", "wanted"), [("", True), ("on", True), ("1", True), ("off", False), ("0", False)]
)
def test_monitoring_may_be_switched_off(monkeypatch: Any, text: str, wanted: bool) -> None:
    monkeypatch.setenv("CONNECTION_POOL_MONITORING", text)
    assert conf.listens() is wanted
    assert declare({"CONNECTION_POOL_MONITORING": text}).faults == ()


def test_a_switch_that_can_not_be_read_is_told_and_keeps_monitoring_on(monkeypatch: Any) -> None:
    monkeypatch.setenv("CONNECTION_POOL_MONITORING", "maybe")
    assert conf.listens()
    (fault,) = declare({"CONNECTION_POOL_MONITORING": "maybe"}).faults
    assert str(fault) == (
        "The environment variable CONNECTION_POOL_MONITORING must be on or off. Leave it out."
    )


def test_what_json_can_hold_reaches_the_driver_as_it_is() -> None:
    options = {"a": [1, {"b": None}], "c": "ü", "d": True}
    assert dict(config_of(POOL_SHOP_OPTIONS=json.dumps(options)).options) == options
