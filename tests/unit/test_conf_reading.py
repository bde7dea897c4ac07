"""From the whole of POOLS to the aliases that can be used, and the faults of the others."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from poolapp import InvalidPoolError, PoolError, conf, pools
from poolapp.conf.effective import effective
from poolapp.conf.reading import Declaration, Layer, read
from poolapp.core.config import Breaker

GOOD = {"BACKEND": "tests.fake.FakeBackend", "LOCATION": "fake://server:1"}


def declare(declared: object) -> Declaration:
    return read([Layer("settings.POOLS", declared)])


def codes(declared: object) -> list[str]:
    return [fault.code for fault in declare(declared).faults]


@pytest.fixture(autouse=True)
def _as_before() -> Any:
    yield
    conf.configure()


# -- all faults, good aliases ----------------------------------------------------------------------


@pytest.mark.parametrize("declared", [None, [], "default", 5])
def test_pools_that_is_no_dictionary_is_one_fault(declared: object) -> None:
    (fault,) = declare(declared).faults
    assert fault.code == "E001"
    assert fault.sentence.startswith("POOLS must be a dictionary of aliases, not ")


def test_no_pools_is_no_fault() -> None:
    assert declare({}) == Declaration({}, (), {})


@pytest.mark.parametrize("alias", ["", "a b", "1st", "ä", "a/b", 5, None])
def test_an_alias_has_a_name_that_can_be_written_anywhere(alias: object) -> None:
    declared = declare({alias: GOOD})
    assert [fault.code for fault in declared.faults] == ["E001"]
    assert declared.configs == {}


@pytest.mark.parametrize("alias", ["default", "read-replica", "Cache_2"])
def test_such_names_are_good(alias: str) -> None:
    assert list(declare({alias: GOOD}).configs) == [alias]


def test_an_alias_that_is_no_dictionary_is_a_fault() -> None:
    (fault,) = declare({"shop": "postgresql://user:secret@host/db"}).faults
    assert fault.sentence == "POOLS['shop'] must be a dictionary, not a text."


def test_all_faults_of_all_aliases_are_found_at_once() -> None:
    declared = {
        "typo": {**GOOD, "MAX_SIZ": 5, "MIN_SIZE": -1},
        "good": GOOD,
        "empty": {},
        "crossed": {**GOOD, "MIN_SIZE": 20},
        "both": {**GOOD, "DATABASE": "default"},
    }
    assert codes(declared) == ["E002", "E003", "E004", "E004", "E005", "E004"]
    assert list(declare(declared).configs) == ["good"]


def test_a_minimum_above_the_default_maximum_says_that_it_is_the_default() -> None:
    (fault,) = declare({"shop": {**GOOD, "MIN_SIZE": 20}}).faults
    assert fault.sentence == (
        "POOLS['shop']['MIN_SIZE'] is 20, more than MAX_SIZE, which is 10, the default."
    )


def test_sizes_that_are_wrong_themselves_are_not_compared() -> None:
    assert codes({"shop": {**GOOD, "MIN_SIZE": 20, "MAX_SIZE": "30"}}) == ["E003"]


def test_equal_sizes_are_good() -> None:
    assert codes({"shop": {**GOOD, "MIN_SIZE": 7, "MAX_SIZE": 7}}) == []


# -- layers ----------------------------------------------------------------------------------------


def test_a_later_layer_wins_key_by_key_and_each_value_keeps_its_source() -> None:
    declared = read(
        [
            Layer("settings.POOLS", {"shop": {**GOOD, "MAX_SIZE": 3, "MIN_SIZE": 1}}),
            Layer("pools.yaml", {"shop": {"MAX_SIZE": 5}, "other": GOOD}),
        ]
    )
    assert declared.faults == ()
    assert (declared.configs["shop"].min_size, declared.configs["shop"].max_size) == (1, 5)
    sources = {key: given.source for key, given in declared.given["shop"].items()}
    assert sources["MAX_SIZE"] == "pools.yaml"
    assert sources["MIN_SIZE"] == "settings.POOLS"
    assert set(declared.configs) == {"shop", "other"}


def test_a_layer_can_mend_the_fault_of_an_earlier_one() -> None:
    layers = [
        Layer("a", {"shop": {**GOOD, "MAX_SIZE": "?"}}),
        Layer("b", {"shop": {"MAX_SIZE": 5}}),
    ]
    assert read(layers).faults == ()


# -- what is in force ------------------------------------------------------------------------------


def test_effective_settings_tell_value_and_source_and_no_secret() -> None:
    declared = declare(
        {
            "shop": {
                "BACKEND": "tests.fake.FakeBackend",
                "LOCATION": "fake://me:hunter2@server:1/db?token=hunter3",
                "BREAKER": None,
                "OPTIONS": {"api_key": "hunter4", "retries": 3, "verify": True, "name": "hunter5"},
            }
        }
    )
    found = {each.key: each for each in effective(declared.configs["shop"], declared.given["shop"])}
    assert found["LOCATION"].text == "fake://me:***@server:1/db"
    options = {key: each.text for key, each in found.items() if key.startswith("OPTIONS")}
    assert options == {
        "OPTIONS['api_key']": "***",
        "OPTIONS['retries']": "3",
        "OPTIONS['verify']": "True",
        "OPTIONS['name']": "***",
    }
    assert (found["BREAKER"].text, found["BREAKER"].source) == ("None", "settings.POOLS")
    assert (found["ACQUIRE_TIMEOUT"].text, found["ACQUIRE_TIMEOUT"].source) == ("5 s", "default")
    assert (found["MAX_SIZE"].text, found["MAX_SIZE"].source) == ("10", "default")
    assert "hunter" not in repr(found)
    assert "hunter" not in repr(declared)


def test_effective_settings_of_a_resized_pool_are_those_in_force() -> None:
    declared = declare({"shop": {**GOOD, "BREAKER": {"FAILURES": 2}}})
    config = declared.configs["shop"].replace(max_size=3)
    found = {each.key: each.text for each in effective(config, declared.given["shop"])}
    assert found["MAX_SIZE"] == "3"
    assert found["BREAKER"] == "2 failures, 30 s"
    assert config.breaker == Breaker(failures=2)


def test_an_alias_registered_in_code_says_so() -> None:
    config = declare({"shop": GOOD}).configs["shop"]
    assert {each.source for each in effective(config, None)} == {"registered in code"}


# -- with the registry -----------------------------------------------------------------------------


def test_a_faulty_alias_raises_what_is_wrong_when_it_is_looked_up(settings: Any) -> None:
    settings.POOLS = {"good": GOOD, "bad": {**GOOD, "MAX_SIZ": 5}}
    assert "good" in pools
    with pytest.raises(InvalidPoolError) as caught:
        pools["bad"]
    assert str(caught.value) == (
        "POOLS['bad']['MAX_SIZ'] is no setting of a pool. Did you mean 'MAX_SIZE'?"
    )
    assert isinstance(caught.value, ImproperlyConfigured)
    assert isinstance(caught.value, PoolError)


async def test_a_good_alias_works_beside_a_faulty_one(settings: Any) -> None:
    settings.POOLS = {"good": GOOD, "bad": {}}
    assert pools["good"].alias == "good"


def test_an_unknown_alias_raises_with_those_there_are(settings: Any) -> None:
    settings.POOLS = {"good": GOOD}
    with pytest.raises(InvalidPoolError, match=r"no pool 'god'; POOLS has 'good'"):
        pools["god"]


async def test_a_backend_that_can_not_be_used_raises_the_same_text_as_the_check(
    settings: Any,
) -> None:
    settings.POOLS = {"shop": {**GOOD, "BACKEND": "tests.fake.NoSuchBackend"}}
    with pytest.raises(InvalidPoolError) as caught:
        pools["shop"]
    (fault,) = conf.verify(conf.declaration().configs["shop"])
    assert str(caught.value) == str(fault)


async def test_changed_settings_reach_the_pools_they_concern_and_no_other(settings: Any) -> None:
    settings.POOLS = {"kept": GOOD, "changed": GOOD, "replaced": GOOD, "gone": GOOD}
    before = {alias: pools[alias] for alias in pools}
    settings.POOLS = {
        "kept": GOOD,
        "changed": {**GOOD, "MAX_SIZE": 3},
        "replaced": {**GOOD, "BREAKER": None},
    }
    assert pools["kept"] is before["kept"]
    assert pools["changed"] is before["changed"]
    assert pools["changed"].config.max_size == 3
    assert pools["replaced"] is not before["replaced"]
    assert "gone" not in pools
    for pool in (*before.values(), pools["replaced"]):
        await pool.close()
