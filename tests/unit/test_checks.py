"""The system checks: one clear paragraph for each fault, each with a hint."""

import sys
from typing import Any

import pytest
from django.core.checks import ERROR, WARNING, CheckMessage, run_checks

from poolapp import BaseBackend, PoolConfig
from poolapp.core.backend import Problem

POSTGRES = "poolapp.backends.postgres.PostgresBackend"
GOOD = {"BACKEND": "tests.fake.FakeBackend", "LOCATION": "fake://server:1"}


class PickyBackend(BaseBackend[object]):
    schemes = ("picky", "pickys")

    @classmethod
    def problems(cls, config: PoolConfig) -> list[Problem]:
        return [
            Problem(setting=f"OPTIONS[{name!r}]", message="is not known.", hint="Leave it out.")
            for name in config.options
        ]


class DriverlessBackend(BaseBackend[object]):
    driver = "aero_driver.aio"
    extra = "aero"


class CarelessBackend(BaseBackend[object]):
    @classmethod
    def problems(cls, config: PoolConfig) -> list[Problem]:
        raise KeyError(config.options["password"])


NO_BACKEND = object


def check() -> list[CheckMessage]:
    return run_checks(tags=["poolapp"])


def only(settings: Any, **changed: object) -> tuple[str, str, str]:
    settings.POOLS = {"shop": {**GOOD, **changed}}
    (message,) = check()
    assert message.hint is not None
    assert "\n" not in message.msg + message.hint
    return str(message.id), message.msg, message.hint


def here(name: str) -> str:
    return f"{__name__}.{name}"


def test_good_settings_pass(settings: Any) -> None:
    settings.POOLS = {
        "shop": GOOD,
        "picky": {**GOOD, "BACKEND": here("PickyBackend"), "LOCATION": "PICKYS://x"},
    }
    assert check() == []


def test_a_project_without_pools_passes(settings: Any) -> None:
    del settings.POOLS
    assert check() == []


def test_all_faults_of_the_settings_are_told_at_once(settings: Any) -> None:
    settings.POOLS = {
        "one": {**GOOD, "MAX_SIZ": 5},
        "two": {**GOOD, "MAX_SIZE": "5"},
        "three": {**GOOD, "BACKEND": "tests.fake.Nothing"},
    }
    assert sorted(str(message.id) for message in check()) == [
        "poolapp.E002",
        "poolapp.E003",
        "poolapp.E006",
    ]


def test_an_unknown_module(settings: Any) -> None:
    code, message, hint = only(settings, BACKEND="tests.fakes.FakeBackend")
    assert code == "poolapp.E006"
    assert (
        message == "POOLS['shop']['BACKEND'] can't be imported: there is no module 'tests.fakes'."
    )
    assert hint == "Check the spelling of the dotted path."


def test_an_unknown_class(settings: Any) -> None:
    code, message, _ = only(settings, BACKEND="tests.fake.FakeBckend")
    assert code == "poolapp.E006"
    assert message.endswith("module 'tests.fake' has no 'FakeBckend'.")


@pytest.mark.parametrize("name", ["NO_BACKEND", "check"])
def test_a_class_that_is_no_backend(settings: Any, name: str) -> None:
    code, message, _ = only(settings, BACKEND=here(name))
    assert code == "poolapp.E006"
    assert message.endswith("which is no subclass of poolapp.BaseBackend.")


def test_a_module_that_fails_on_import(settings: Any, tmp_path: Any, monkeypatch: Any) -> None:
    (tmp_path / "broken_backend.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    code, message, _ = only(settings, BACKEND="broken_backend.Backend")
    assert code == "poolapp.E006"
    assert "'broken_backend' raised ZeroDivisionError: division by zero" in message


def test_a_missing_driver_says_what_to_install(settings: Any) -> None:
    assert only(settings, BACKEND=here("DriverlessBackend")) == (
        "poolapp.E007",
        "POOLS['shop']['BACKEND'] needs the driver 'aero_driver.aio', which is not installed.",
        "Run `pip install 'django-poolapp[aero]'`.",
    )


def test_a_backend_whose_module_imports_a_missing_driver_says_what_to_install(
    settings: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    (tmp_path / "hasty_backend.py").write_text("import aero_driver\n")
    monkeypatch.syspath_prepend(tmp_path)
    code, message, hint = only(settings, BACKEND="hasty_backend.Backend")
    assert code == "poolapp.E007"
    assert "needs the driver 'aero_driver'" in message
    assert hint == "Run `pip install aero_driver`."


def test_the_extra_that_brings_a_known_driver_is_named(
    settings: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    (tmp_path / "hasty_postgres.py").write_text("import asyncpg\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    _, _, hint = only(settings, BACKEND="hasty_postgres.Backend")
    assert hint == "Run `pip install 'django-poolapp[postgres]'`."


def test_a_scheme_that_the_backend_does_not_speak(settings: Any) -> None:
    code, message, hint = only(
        settings, BACKEND=here("PickyBackend"), LOCATION="http://me:hunter2@x"
    )
    assert code == "poolapp.E008"
    assert message == (
        "POOLS['shop']['LOCATION'] has the scheme 'http', which PickyBackend does not speak."
    )
    assert hint == "A URL of this backend starts with picky:// or pickys://."


def test_what_the_backend_says_of_its_options(settings: Any) -> None:
    assert only(
        settings, BACKEND=here("PickyBackend"), LOCATION="picky://x", OPTIONS={"colour": 1}
    ) == ("poolapp.E008", "POOLS['shop']['OPTIONS']['colour'] is not known.", "Leave it out.")


def test_a_backend_whose_own_check_fails_is_told_without_its_values(settings: Any) -> None:
    code, message, _ = only(
        settings, BACKEND=here("CarelessBackend"), OPTIONS={"password": "hunter2"}
    )
    assert code == "poolapp.E006"
    assert message.endswith("its problems() raised KeyError.")


# -- what stands elsewhere than in POOLS -----------------------------------------------------------


def test_a_fault_of_the_environment_is_told_with_the_variable(
    settings: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("POOL_SHOP_OPTIONS", '{"colour": 1}')
    code, message, _ = only(
        settings, BACKEND=here("PickyBackend"), LOCATION="picky://x", OPTIONS={}
    )
    assert code == "poolapp.E008"
    assert message == ("POOLS['shop']['OPTIONS']['colour'] (from POOL_SHOP_OPTIONS) is not known.")


def test_a_variable_that_sets_nothing_is_a_warning(settings: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("POOL_SHOP_MAX_SIZ", "5")
    settings.POOLS = {"shop": GOOD}
    (message,) = check()
    assert (message.id, message.level) == ("poolapp.W003", WARNING)
    assert message.hint == "Did you mean 'MAX_SIZE'?"


def test_a_file_that_is_not_there_is_an_error(settings: Any, tmp_path: Any) -> None:
    settings.POOLS = {"shop": GOOD}
    settings.POOLAPP = {"FILE": tmp_path / "pools.yaml"}
    (message,) = check()
    assert (message.id, message.level) == ("poolapp.E011", ERROR)
    assert message.msg == (
        f"The file {tmp_path}/pools.yaml can't be read: No such file or directory."
    )


# -- LOCATION as a function ------------------------------------------------------------------------

asked: list[int] = []


def location() -> str:
    asked.append(1)
    return "nonsense"


def test_a_location_that_is_a_function_is_not_asked_by_the_check(settings: Any) -> None:
    for place in (location, here("location")):
        settings.POOLS = {
            "picky": {"BACKEND": here("PickyBackend"), "LOCATION": place},
            "postgres": {"BACKEND": POSTGRES, "LOCATION": place},
        }
        assert check() == []
    assert asked == []


@pytest.mark.parametrize("path", ["no_such.module", "tests.fake.no_such_function", "os.path.sep"])
def test_a_path_that_leads_to_no_function_is_told(settings: Any, path: str) -> None:
    code, message, hint = only(settings, LOCATION=path)
    assert code == "poolapp.E006"
    assert message.startswith("POOLS['shop']['LOCATION'] names ")
    assert path in message
    assert hint == "LOCATION is a URL, 'scheme://host', or the dotted path of a function."


def test_what_else_is_wrong_with_such_an_alias_is_told(settings: Any) -> None:
    code, message, _ = only(
        settings, BACKEND=POSTGRES, LOCATION=location, OPTIONS={"comand_timeout": 5}
    )
    assert code == "poolapp.E008"
    assert "comand_timeout" in message
