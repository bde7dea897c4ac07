"""Settings from a YAML file: its two ways to write an alias, and what is told when it is wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from poolapp import InvalidPoolError, conf, pools
from poolapp.conf import file
from poolapp.conf.faults import Fault
from poolapp.conf.kinds import KINDS
from poolapp.conf.reading import Declaration, Layer, read
from poolapp.core.config import Breaker, Location, PoolConfig

FAKE = "tests.fake.FakeBackend"


@pytest.fixture
def declare(tmp_path: Path) -> Any:
    """``declare(text, settings.POOLS, **environment)``: what comes of it."""

    def declare(text: str, beneath: object = None, **environment: str) -> Declaration:
        path = tmp_path / "pools.yaml"
        path.write_text(dedent(text), encoding="utf-8")
        settings = Layer("settings.POOLS", beneath or {})
        backends = conf.environment.backends_of([settings])
        return read([settings, file.layer(path, environment, backends)])

    return declare


@pytest.fixture
def config_of(declare: Any) -> Any:
    """The configuration of the alias ``shop``."""

    def config_of(text: str, beneath: object = None, **environment: str) -> PoolConfig:
        declared = declare(text, beneath, **environment)
        assert declared.faults == ()
        return declared.configs["shop"]

    return config_of


@pytest.fixture
def only_fault(declare: Any) -> Any:
    def only_fault(text: str, beneath: object = None, **environment: str) -> Fault:
        (fault,) = declare(text, beneath, **environment).faults
        assert "hunter2" not in str(fault) + repr(fault)
        assert fault.hint
        return fault

    return only_fault


def locations(config: PoolConfig) -> list[str]:
    """The URLs, with their passwords."""
    found = []
    for each in config.where():
        secret = f":{each.password.reveal()}" if each.password else ""
        user = f"{each.username or ''}{secret}@" if each.username or secret else ""
        query = "".join(f"?{name}={value}" for name, value in each.query.items())
        found.append(f"{each.scheme}://{user}{each.address}{each.path}{query}")
    return found


# -- the keys of POOLS -----------------------------------------------------------------------------


@pytest.mark.parametrize("section", ["pools", "databases"])
@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_the_keys_of_pools_may_be_written_small_or_large(
    config_of: Any, section: str, change: Any
) -> None:
    names = ("backend", "location", "max_size", "prewarm", "breaker", "options", "max_waiting")
    key = {name: change(name) for name in names}
    config = config_of(
        f"""
        {section}:
          shop:
            {key["backend"]}: {FAKE}
            {key["location"]}: fake://a:1
            {key["max_size"]}: 20
            {key["max_waiting"]}: none
            {key["prewarm"]}: yes
            {key["breaker"]}: {{failures: 3}}
            {key["options"]}: {{verify: true, Retries: 5}}
        """
    )
    assert (config.backend, config.max_size, config.prewarm) == (FAKE, 20, True)
    assert (config.max_waiting, config.breaker) == (None, Breaker(failures=3))
    assert dict(config.options) == {"verify": True, "Retries": 5}


def test_the_file_wins_over_the_settings_key_by_key_and_option_by_option(declare: Any) -> None:
    beneath = {
        "shop": {
            "BACKEND": FAKE,
            "DATABASE": "default",
            "MAX_SIZE": 3,
            "MIN_SIZE": 1,
            "OPTIONS": {"a": 1, "b": 1},
        }
    }
    declared = declare(
        """
        pools:
          shop: {max_size: 5, location: "fake://a", options: {b: 2}}
          other: {backend: tests.fake.FakeBackend, location: "fake://b"}
        """,
        beneath,
    )
    shop = declared.configs["shop"]
    assert (shop.max_size, shop.min_size, dict(shop.options)) == (5, 1, {"a": 1, "b": 2})
    assert locations(shop) == ["fake://a"]
    given = declared.given["shop"]
    assert (given["MAX_SIZE"].source, given["MIN_SIZE"].source) == ("pools.yaml", "settings.POOLS")
    assert given["OPTIONS"].names == {"a": "settings.POOLS", "b": "pools.yaml"}
    assert set(declared.configs) == {"shop", "other"}


# -- host, port, user, ... -------------------------------------------------------------------------

LOCATIONS = {
    "type: postgres, host: db, port: 5433, user: me, password: 'p@:/#?%', database: shop": [
        "postgresql://me:p@:/#?%@db:5433/shop"
    ],
    "type: postgres, hosts: [a, 'b:7'], port: 5433, database: shop": [
        "postgresql://a:5433,b:7/shop"
    ],
    "type: postgresql, host: '::1', port: 5433": ["postgresql://[::1]:5433"],
    "type: elasticsearch, hosts: ['https://a:9200', 'https://b:9200'], user: me, password: pw": [
        "https://me:pw@a:9200",
        "https://me:pw@b:9200",
    ],
    "type: elasticsearch, hosts: [a, b], port: 9201, scheme: https": [
        "https://a:9201",
        "https://b:9201",
    ],
    "type: redis, host: cache, password: pw, database: 2": ["redis://:pw@cache/2"],
    "type: redis, host: cache, port: 6380, scheme: rediss": ["rediss://cache:6380"],
    "type: mongodb, hosts: [a, b], port: 27018, database: events, username: me": [
        "mongodb://me@a:27018,b:27018/events"
    ],
    "type: http, host: api.example.com": ["https://api.example.com"],
    "type: websocket, host: 'ws://feed/ws'": ["ws://feed/ws"],
    "type: s3, bucket: media, region: eu-west-1": ["s3://media?region=eu-west-1"],
    "type: s3, bucket: media, access_key: K, secret_key: 's/+'": ["s3://K:s/+@media"],
    "type: s3, bucket: media, endpoint: 'http://minio:9000', access_key: K, secret_key: s": [
        "http://K:s@minio:9000/media"
    ],
    "type: s3, bucket: media, endpoint: minio, port: 9000, region: x": [
        "https://minio:9000/media?region=x"
    ],
    "url: 'fake://a'": ["fake://a"],
    "urls: ['fake://a', 'fake://b']": ["fake://a", "fake://b"],
    "location: 'fake://a,fake://b'": ["fake://a", "fake://b"],
    "host: a, scheme: fake": ["fake://a"],
    "hosts: ['fake://a', 'fake://b'], port: 5": ["fake://a", "fake://b"],
}


@pytest.mark.parametrize("text", LOCATIONS)
def test_a_location_is_put_together_from_its_parts(config_of: Any, text: str) -> None:
    config = config_of(f"pools: {{shop: {{{text}, backend: {FAKE}}}}}".replace(
        f", backend: {FAKE}", "" if "type:" in text else f", backend: {FAKE}"
    ))  # fmt: skip
    assert locations(config) == LOCATIONS[text]


def test_a_backend_of_the_settings_says_how_to_speak_to_the_host(config_of: Any) -> None:
    beneath = {"shop": {"BACKEND": KINDS["postgres"].backend, "DATABASE": "default"}}
    config = config_of("pools: {shop: {host: db, database: shop}}", beneath)
    assert locations(config) == ["postgresql://db/shop"]


@pytest.mark.parametrize("name", sorted(KINDS))
def test_an_alias_that_is_called_like_a_type_needs_none(declare: Any, name: str) -> None:
    (config,) = declare(f"databases: {{{name}: {{host: server}}}}").configs.values()
    assert config.backend == KINDS[name].backend


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_type_has_a_backend_that_speaks_its_scheme(name: str) -> None:
    kind = KINDS[name]
    config = PoolConfig(
        alias=name,
        backend=kind.backend,
        locations=(Location.parse(f"{kind.scheme}://server"),),
    )
    assert conf.verify(config) == []


def test_database_without_a_host_is_an_alias_of_databases(config_of: Any) -> None:
    config = config_of("pools: {shop: {type: postgres, database: default}}")
    assert config.locations.alias == "default"


@given(st.text(min_size=1), st.text())
@example("a b", "p@ss:/?#%")
def test_any_user_and_password_survive_the_way_through_a_url(user: str, password: str) -> None:
    parts = {"user": user, "password": password, "host": "db"}
    url = file.location(KINDS["postgres"], "postgresql", ["db"], parts)
    found = Location.parse(url)
    assert found.password is not None
    assert (found.username, found.password.reveal(), found.address) == (user, password, "db")


def test_the_documented_file_is_good(declare: Any) -> None:
    text = (Path(__file__).parents[2] / "docs/settings.md").read_text()
    example = text.partition("```yaml\n")[2].partition("```")[0]
    declared = declare(example, DB_PASSWORD="p@ss")
    assert declared.faults == ()
    assert {alias: locations(each) for alias, each in declared.configs.items()} == {
        "default": ["postgresql://shop:p@ss@db1:5432,db2:5432/shop"],
        "search": ["https://es1:9200", "https://es2:9200"],
        "media": ["s3://media?region=eu-west-1"],
        "mail": ["smtps://shop@mail.example.com"],
    }
    default = declared.configs["default"]
    assert (default.max_size, default.acquire_timeout) == (20, 3.0)
    assert dict(default.options) == {"command_timeout": 30}


# -- pool ------------------------------------------------------------------------------------------


def test_sizes_and_times_may_stand_under_pool(config_of: Any) -> None:
    config = config_of(
        f"""
        pools:
          shop:
            backend: {FAKE}
            url: fake://a
            pool: {{min_size: 2, max_size: 20, timeout: 3, idle_timeout: 60, health_interval: 5}}
        """
    )
    assert (config.min_size, config.max_size, config.acquire_timeout) == (2, 20, 3.0)
    assert (config.idle_timeout, config.health_interval) == (60.0, 5.0)


@pytest.mark.parametrize("name", ["maxsize", "max_connections", "MAX_SIZE"])
def test_the_maximum_goes_by_several_names(config_of: Any, name: str) -> None:
    assert config_of(
        f"pools: {{shop: {{backend: {FAKE}, url: 'fake://a', pool: {{{name}: 7}}}}}}"
    ).max_size == 7  # fmt: skip


# -- ${NAME} ---------------------------------------------------------------------------------------


def test_variables_are_filled_in(config_of: Any) -> None:
    text = """
        pools:
          shop:
            type: postgres
            host: ${HOST:-localhost}
            user: me
            password: ${PASSWORD}
            options: {ssl: "${MODE:-}", server_settings: {application_name: "a-${NAME}-b"}}
            pool: {max_size: "${SIZE:-7}"}
        """
    config = config_of(text, PASSWORD="a: &b *c ${HOST} #", NAME="x")
    assert locations(config) == ["postgresql://me:a: &b *c ${HOST} #@localhost"]
    assert config.max_size == 7
    assert config.options["ssl"] == ""
    assert config.options["server_settings"] == {"application_name": "a-x-b"}
    config = config_of(text, PASSWORD="p", NAME="x", HOST="db", SIZE="9")
    assert (locations(config), config.max_size) == (["postgresql://me:p@db"], 9)


def test_a_dollar_sign_may_be_written(config_of: Any) -> None:
    text = "pools: {shop: {type: postgres, host: a, password: 'p$${X}$Y$'}}"
    assert locations(config_of(text)) == ["postgresql://:p${X}$Y$@a"]


def test_a_variable_that_is_not_set_is_told(only_fault: Any) -> None:
    fault = only_fault("pools: {shop: {type: postgres, host: a, password: '${DB_PASSWORD}'}}")
    assert (fault.code, fault.alias) == ("E011", "shop")
    assert str(fault) == (
        "shop.password in pools.yaml needs the environment variable DB_PASSWORD, which is not set. "
        "Set it, or write ${DB_PASSWORD:-default}."
    )


# -- what is wrong ---------------------------------------------------------------------------------


def shop(text: str) -> str:
    return f"pools: {{shop: {{{text}}}}}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (shop("type: postgras, host: a"), "shop.type in pools.yaml is none of the types."),
        (shop("type: postgres, hots: a, url: 'x://a'"), "shop.hots in pools.yaml is no key"),
        (shop("type: postgres, host: a, pool: {max_siz: 5}"), "shop.pool.max_siz in pools.yaml"),
        (shop("type: postgres, host: a, pool: 5"), "shop.pool in pools.yaml must be a mapping"),
        (
            shop("type: postgres, host: a, max_size: 5, pool: {max_size: 6}"),
            "shop.pool.max_size in pools.yaml sets MAX_SIZE, which is set beside it.",
        ),
        (shop("type: postgres, host: a, url: 'postgresql://b'"), "beside a whole location."),
        (shop("type: postgres, host: a, password: 123"), "shop.password in pools.yaml must be a"),
        (shop("type: postgres, host: a, password: [hunter2]"), "must be a text, not list."),
        (shop("type: postgres, hosts: [1]"), "shop.hosts in pools.yaml must be a text, not list"),
        (shop(f"backend: {FAKE}, host: a"), "shop.host in pools.yaml does not say how to speak"),
        ("pools: {shop: 'postgresql://me:hunter2@a'}", "shop in pools.yaml must be a mapping"),
        (
            "pools: {a: {type: http, host: a}}\ndatabases: {a: {type: http, host: b}}",
            "a in pools.yaml stands in pools and in databases both.",
        ),
    ],
)
def test_an_alias_that_is_wrong_is_told_with_its_place(declare: Any, text: str, told: str) -> None:
    declared = declare(text)
    assert "hunter2" not in str(declared.faults)
    fault = declared.faults[0]
    assert told in str(fault)
    assert fault.hint
    assert declared.configs == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("max_size: ten", "['MAX_SIZE'] (from pools.yaml) must be a whole number of at least 1"),
        ("max_size: 0", "['MAX_SIZE'] (from pools.yaml) must be a whole number of at least 1"),
        ("min_size: 11", "['MIN_SIZE'] (from pools.yaml) is 11, more than MAX_SIZE"),
        ("breaker: {failure: 3}", "['BREAKER']['FAILURE'] (from pools.yaml) is no key of BREAKER"),
    ],
)
def test_a_wrong_value_is_told_with_the_file(only_fault: Any, text: str, told: str) -> None:
    assert told in str(only_fault(shop(f"backend: {FAKE}, url: 'fake://a', {text}")))


def test_options_that_are_text_must_be_json(only_fault: Any) -> None:
    fault = only_fault(shop(f"backend: {FAKE}, url: 'fake://a', options: hunter2"))
    assert "shop.options in pools.yaml is no JSON" in str(fault)


BROKEN = {
    "a: [1": "is no YAML: expected ',' or ']', but got '<stream end>', line 1.",
    "pools:\n  shop: {password: *hunter2}": "found undefined alias (what stands there), line 2.",
    "pools:\n  shop: !hunter2 {}": "could not determine a constructor for the tag (what stands",
    "pools:\n  shop: !!python/object:os.system {}": "could not determine a constructor for the tag",
    "pools:\n\tshop: {}": "that cannot start any token, line 2.",
    "pools:\n  shop: {}\n  shop: {}": "the key 'shop' stands there twice, line 3.",
    "pools: {shop: {host: a, host: b}}": "the key 'host' stands there twice, line 1.",
    "[1]": "must be a mapping, not a list.",
    "": "must be a mapping, not None.",
    "pool: {}": "has neither 'pools' nor 'databases'.",
    "pools: [shop]": "has under 'pools' no mapping of aliases but a list.",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_is_told_with_its_line_and_without_what_stands_there(
    only_fault: Any, text: str
) -> None:
    fault = only_fault(text)
    assert (fault.code, fault.alias) == ("E011", "")
    assert BROKEN[text] in fault.sentence
    assert "pools.yaml" in fault.sentence


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "pools.yaml"
    path.write_bytes(b"\xff\xfe\xfa")
    (fault,) = file.layer(path, {}, {}).faults
    assert "is no YAML" in fault.sentence
    (fault,) = file.layer(tmp_path, {}, {}).faults
    assert fault.sentence.endswith("can't be read: Is a directory.")


@pytest.mark.parametrize("text", ["pools: {}", "pools:", "databases: {}\nother: 5"])
def test_a_file_without_aliases_is_none_of_our_business(declare: Any, text: str) -> None:
    assert declare(text) == Declaration({}, (), {})


def test_an_anchor_may_be_merged(config_of: Any) -> None:
    config = config_of(
        f"""
        common: &common {{backend: {FAKE}, url: fake://a, max_size: 5}}
        pools:
          shop:
            <<: *common
            max_size: 7
        """
    )
    assert (config.max_size, locations(config)) == (7, ["fake://a"])


def test_without_pyyaml_it_says_what_to_install(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    (fault,) = file.layer(tmp_path / "pools.yaml", {}, {}).faults
    assert str(fault) == (
        f"The file {tmp_path}/pools.yaml can't be read without PyYAML, which is not installed. "
        "Run `pip install 'django-poolapp[yaml]'`."
    )


# -- where it is -----------------------------------------------------------------------------------


@pytest.fixture
def shop_file(tmp_path: Path, settings: Any) -> Path:
    path = tmp_path / "pools.yaml"
    path.write_text(f"pools: {{shop: {{backend: {FAKE}, url: 'fake://a', max_size: 7}}}}")
    settings.POOLS = {}
    return path


@pytest.mark.parametrize("kind", [str, Path])
def test_the_settings_name_the_file(settings: Any, shop_file: Path, kind: Any) -> None:
    settings.POOLAPP = {"FILE": kind(shop_file)}
    assert pools.config("shop").max_size == 7
    settings.POOLAPP = {"FILE": None}
    assert "shop" not in pools


def test_the_environment_names_another_file(
    settings: Any, shop_file: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(shop_file.read_text().replace("7", "8"))
    settings.POOLAPP = {"FILE": shop_file}
    monkeypatch.setenv("POOLAPP_FILE", str(other))
    conf.configure()
    assert pools.config("shop").max_size == 8
    assert conf.declaration().given["shop"]["MAX_SIZE"].source == "other.yaml"


def test_the_environment_wins_over_the_file(
    settings: Any, shop_file: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("POOL_SHOP_MAX_SIZE", "9")
    settings.POOLAPP = {"FILE": shop_file}
    assert pools.config("shop").max_size == 9


def test_a_file_that_is_not_there_is_told_also_to_who_looks_for_its_aliases(
    settings: Any, tmp_path: Path
) -> None:
    settings.POOLS = {"good": {"BACKEND": FAKE, "LOCATION": "fake://a"}}
    settings.POOLAPP = {"FILE": tmp_path / "pols.yaml"}
    with pytest.raises(InvalidPoolError) as caught:
        pools["shop"]
    assert str(caught.value) == (
        f"there is no pool 'shop'; POOLS has 'good'. The file {tmp_path}/pols.yaml can't be read: "
        "No such file or directory. Its place is POOLAPP['FILE'], or the environment variable "
        "POOLAPP_FILE."
    )
    assert "good" in pools


@pytest.mark.parametrize(
    ("value", "sentence", "hint"),
    [
        ([], "POOLAPP must be a dictionary, not a list.", "As in POOLAPP = "),
        ({"TRACE": "yes"}, "POOLAPP['TRACE'] must be True or False, not the text 'yes'.", "True: "),
        ({"OTEL": 0}, "POOLAPP['OTEL'] must be True or False, not 0.", "False: "),
        ({"FIEL": "x"}, "POOLAPP['FIEL'] is no setting.", "Did you mean 'FILE'?"),
        (
            {"LOG_EVERY": "60"},
            "POOLAPP['LOG_EVERY'] must be a number of seconds, at least 1, not the text '60'.",
            "So often",
        ),
        (
            {"LOG_EVERY": 0},
            "POOLAPP['LOG_EVERY'] must be a number of seconds, at least 1, not 0.",
            "So often",
        ),
        ({"FLEET": 5}, "POOLAPP['FLEET'] must be a text, not 5.", "It names the alias of a Redis"),
        ({"FILE": 5}, "POOLAPP['FILE'] must be the path of a YAML file, not 5.", "None is no"),
    ],
)
def test_the_setting_itself_is_checked(
    settings: Any, value: object, sentence: str, hint: str
) -> None:
    settings.POOLS = {}
    settings.POOLAPP = value
    (fault,) = conf.declaration().faults
    assert (fault.code, fault.sentence) == ("E012", sentence)
    assert fault.hint.startswith(hint)
