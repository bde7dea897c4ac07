"""``manage.py poolstatus`` and ``manage.py check`` as a user runs them, each in its own process."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch

from poolapp.devservices.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
POSTGRES = "poolapp.backends.postgres.PostgresBackend"
ELASTICSEARCH = "poolapp.backends.elasticsearch.ElasticsearchBackend"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def manage(tmp_path: Path) -> Run:
    """``manage(command, pools={...})``: run a command with these POOLS; ``extra`` is more code of
    the settings, keywords are environment variables."""

    def run(
        *command: str, pools: object = None, extra: str = "", **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        code = "from tests.settings import *\n"
        if pools is not None:
            code += f"POOLS = {pools!r}\n"
        (tmp_path / "own_settings.py").write_text(code + extra)
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "own_settings",
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
            "COLUMNS": "80",
            **variables,
        }
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "django", *command],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
async def green(server_urls: dict[str, str]) -> None:
    """No index of an earlier test waits for a node that could hold its replica."""
    async with AsyncElasticsearch(server_urls["elasticsearch"]) as client:
        await client.indices.put_settings(index="_all", settings={"number_of_replicas": 0})
        assert (await client.cluster.health())["status"] == "green"


def pool(backend: str = POSTGRES, **settings: object) -> dict[str, Any]:
    return {"BACKEND": backend, "DATABASE": "default", **settings}


# -- what it tells ---------------------------------------------------------------------------------


def test_without_probe_it_says_that_it_has_no_pools_and_shows_the_configuration(
    manage: Run,
) -> None:
    done = manage("poolstatus", pools={"default": pool(MIN_SIZE=2, MAX_SIZE=20)})
    assert (done.returncode, done.stderr) == (0, "")
    assert "This command is its own process" in done.stdout
    head, row = done.stdout.strip().splitlines()[-2:]
    assert head.split() == ["ALIAS", "BACKEND", "SIZE", "ACQUIRE", "SERVER"]
    assert row.split()[:5] == ["default", "Postgres", "2-20", "5", "s"]
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_with_probe_every_server_is_asked(manage: Run, green: None) -> None:
    done = manage("poolstatus", "--probe")
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = done.stdout.strip().splitlines()
    assert head.split() == ["ALIAS", "STATUS", "CONNECT", "ANSWER", "SERVER"]
    assert [row.split()[:2] for row in rows[:2]] == [["default", "healthy"], ["search", "healthy"]]
    assert "version 18" in rows[0]
    assert all(row.index(row.split()[1]) == head.index("STATUS") for row in rows[:2])


def test_one_alias_only(manage: Run) -> None:
    done = manage("poolstatus", "search", "--probe")
    assert done.returncode == 0
    assert "default" not in done.stdout


def test_json_has_process_status_probe_and_both_names_of_the_statistics(manage: Run) -> None:
    done = manage("poolstatus", "default", "--probe", "--format", "json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert told["process"]["command"] == "poolstatus"
    assert isinstance(told["process"]["pid"], int)
    (found,) = told["pools"]
    assert (found["alias"], found["backend"]) == ("default", POSTGRES)
    assert (found["status"], found["message"]) == ("healthy", "")
    assert found["probe"]["connect_ms"] > 0
    assert found["probe"]["check_ms"] > 0
    assert found["probe"]["server"]["max_connections"] == 100
    assert (found["stats"]["max_size"], found["stats"]["size"]) == (10, 0)
    assert found["psycopg"]["pool_max"] == 10


def test_json_without_probe_says_so(manage: Run) -> None:
    found = json.loads(manage("poolstatus", "--format", "json").stdout)["pools"][0]
    assert (found["status"], found["probe"]) == ("not probed", None)


def test_config_shows_each_value_and_its_source_and_no_secret(manage: Run) -> None:
    pools = {
        "search": {
            "BACKEND": ELASTICSEARCH,
            "LOCATION": "https://me:hunter2@127.0.0.1:9200",
            "MAX_SIZE": 7,
            "OPTIONS": {"max_retries": 5},
        },
        "logs": {
            "BACKEND": ELASTICSEARCH,
            "LOCATION": "https://127.0.0.1:9200",
            "OPTIONS": {"api_key": "hunter3", "max_retries": 5},
        },
        "default": pool(),
    }
    done = manage("poolstatus", "--config", pools=pools)
    assert done.returncode == 0
    assert "hunter" not in done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["MAX_SIZE", "settings.POOLS", "7"] in lines
    assert ["MIN_SIZE", "default", "0"] in lines
    assert ["LOCATION", "settings.POOLS", "https://me:***@127.0.0.1:9200"] in lines
    assert ["OPTIONS['api_key']", "settings.POOLS", "***"] in lines
    assert ["OPTIONS['max_retries']", "settings.POOLS", "5"] in lines
    assert ["OPTIONS", "default", "none"] in lines
    assert any(line[:2] == ["LOCATION", "DATABASES['default']"] for line in lines)
    told = json.loads(manage("poolstatus", "--config", "--format", "json", pools=pools).stdout)
    config = {found["alias"]: found["config"] for found in told["pools"]}
    assert config["search"]["MAX_SIZE"] == {"value": "7", "source": "settings.POOLS"}
    assert "hunter" not in json.dumps(told)


LAYERED = {
    "default": pool(MAX_SIZE=3, ACQUIRE_TIMEOUT=1),
    "search": {
        "BACKEND": ELASTICSEARCH,
        "LOCATION": "https://me:hunter2@127.0.0.1:9200",
        "OPTIONS": {"max_retries": 5},
    },
}

FILE = """
pools:
  search:
    hosts: [es1, es2]
    scheme: https
    user: me
    password: ${ES_PASSWORD}
    pool: {timeout: 2, max_size: 20}
    options: {request_timeout: 9}
"""


def test_config_names_the_source_of_what_comes_from_a_file_or_the_environment(
    manage: Run, tmp_path: Path
) -> None:
    (tmp_path / "pools.yaml").write_text(FILE)
    extra = f"POOLAPP = {{'FILE': {str(tmp_path / 'pools.yaml')!r}}}\n"
    variables = {
        "ES_PASSWORD": "hunter3:@/#%",
        "ES_POOL_CONNECTIONS": "7",
        "POOL_SEARCH_MAX_SIZE": "8",
        "POSTGRES_POOL_TIMEOUT": "4",
        "CONNECTION_POOL_HEALTH_CHECK": "off",
    }
    done = manage("poolstatus", "--config", pools=LAYERED, extra=extra, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert "hunter" not in done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    for line in (
        ["ACQUIRE_TIMEOUT", "POSTGRES_POOL_TIMEOUT", "4", "s"],
        ["MAX_SIZE", "settings.POOLS", "3"],
        ["HEALTH_INTERVAL", "CONNECTION_POOL_HEALTH_CHECK", "None"],
        ["LOCATION", "pools.yaml", "https://me:***@es1,", "https://me:***@es2"],
        ["ACQUIRE_TIMEOUT", "pools.yaml", "2", "s"],
        ["MAX_SIZE", "POOL_SEARCH_MAX_SIZE", "8"],
        ["OPTIONS['max_retries']", "settings.POOLS", "5"],
        ["OPTIONS['request_timeout']", "pools.yaml", "9"],
        ["OPTIONS['connections_per_node']", "ES_POOL_CONNECTIONS", "7"],
    ):
        assert line in lines
    done = manage(
        "poolstatus", "--config", "--format=json", pools=LAYERED, extra=extra, **variables
    )
    config = {found["alias"]: found["config"] for found in json.loads(done.stdout)["pools"]}
    assert config["search"]["OPTIONS['connections_per_node']"] == {
        "value": "7",
        "source": "ES_POOL_CONNECTIONS",
    }
    assert "hunter" not in done.stdout


def test_a_location_that_a_function_gives_is_asked_for_by_the_probe_only(
    manage: Run, postgres_url: str
) -> None:
    pools = {"x": {"BACKEND": POSTGRES, "LOCATION": "own_settings.where"}}
    extra = f"def where():\n    print('asked')\n    return {postgres_url!r}\n"
    done = manage("poolstatus", "--config", pools=pools, extra=extra)
    assert (done.returncode, done.stderr) == (0, "")
    assert "asked" not in done.stdout
    assert "what own_settings.where() returns at each connect" in done.stdout
    done = manage("poolstatus", "--probe", pools=pools, extra=extra)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].split()[:2] == ["x", "healthy"]


@pytest.mark.parametrize("command", ["check", "poolstatus"])
def test_a_faulty_variable_is_told_by_its_name(manage: Run, command: str) -> None:
    done = manage(command, pools={"default": pool()}, POOL_DEFAULT_MAX_SIZE="many")
    assert done.returncode == {"check": 1, "poolstatus": 2}[command]
    told = "POOLS['default']['MAX_SIZE'] (from POOL_DEFAULT_MAX_SIZE) must be a whole number"
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_monitoring_that_is_switched_off_hears_nothing(manage: Run) -> None:
    code = (
        "from poolapp import pools; modules = [type(each).__module__ for each in "
        "pools.events.observers]; print(sum('poolapp.monitoring' in each for each in modules))"
    )
    assert int(manage("shell", "-v0", "-c", code).stdout) > 0
    assert int(manage("shell", "-v0", "-c", code, CONNECTION_POOL_MONITORING="off").stdout) == 0


def test_no_pools_is_told(manage: Run) -> None:
    done = manage("poolstatus", "--probe", pools={})
    assert (done.returncode, done.stdout.strip()) == (0, "POOLS declares no pool.")


# -- bad input -------------------------------------------------------------------------------------

WRONG = {
    "typo": ({"default": pool(MAX_SIZ=5)}, ["['MAX_SIZ']", "Did you mean 'MAX_SIZE'?"]),
    "scheme": (
        {"default": {"BACKEND": POSTGRES, "LOCATION": "http://me:hunter2@127.0.0.1/x"}},
        ["['LOCATION']", "scheme 'http'", "postgresql://"],
    ),
    "sizes": (
        {"default": pool(MIN_SIZE=9, MAX_SIZE=3)},
        ["['MIN_SIZE'] is 9, more than MAX_SIZE, which is 3.", "lower MIN_SIZE"],
    ),
    "driver": (
        {"default": pool("own_settings.UndrivenBackend")},
        ["needs the driver 'aero_driver'", "pip install 'django-poolapp[aero]'"],
    ),
    "postgres driver": (
        {"default": pool()},
        ["needs the driver 'asyncpg'", "pip install 'django-poolapp[postgres]'"],
    ),
    "backend": (
        {"default": pool("poolapp.backends.postgres.PostgressBackend")},
        ["has no 'PostgressBackend'"],
    ),
    "option": (
        {"default": pool(OPTIONS={"comand_timeout": 5})},
        ["['OPTIONS']['comand_timeout']", "command_timeout"],
    ),
    "database": ({"default": pool(DATABASE="defualt")}, ["Did you mean 'default'?"]),
}

EXTRA = {
    "driver": "from poolapp.core.backend import BaseBackend\n"
    "class UndrivenBackend(BaseBackend):\n    driver = 'aero_driver'\n    extra = 'aero'\n",
    "postgres driver": "import sys\nsys.modules['asyncpg'] = None\n",
}


@pytest.mark.parametrize("command", ["check", "poolstatus"])
@pytest.mark.parametrize("case", WRONG)
def test_faulty_settings_are_told_in_a_paragraph_each_without_a_traceback(
    manage: Run, command: str, case: str
) -> None:
    pools, texts = WRONG[case]
    done = manage(command, pools=pools, extra=EXTRA.get(case, ""))
    assert done.returncode == {"check": 1, "poolstatus": 2}[command]
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr
    for text in texts:
        assert text in done.stderr
    assert "POOLS['default']" in done.stderr
    if command == "poolstatus":
        assert len(done.stderr.strip().splitlines()) == 1


def test_each_fault_has_a_paragraph_of_its_own(manage: Run) -> None:
    pools = {"one": pool(MAX_SIZ=5), "two": pool(PREWARM="yes"), "good": pool()}
    done = manage("poolstatus", pools=pools)
    assert done.returncode == 2
    assert len(done.stderr.strip().split("\n\n")) == 2


def test_a_faulty_alias_does_not_hide_another_one(manage: Run) -> None:
    pools = {"bad": pool(MAX_SIZ=5), "good": pool()}
    assert manage("poolstatus", "good", "--probe", pools=pools).returncode == 0
    assert manage("poolstatus", "bad", "--probe", pools=pools).returncode == 2


def test_other_commands_work_with_a_faulty_alias_until_it_is_used(manage: Run) -> None:
    done = manage("diffsettings", pools={"bad": pool(MAX_SIZ=5)})
    assert done.returncode == 0


def test_an_unknown_alias_is_told_with_what_was_meant(manage: Run) -> None:
    done = manage("poolstatus", "serch")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "CommandError: There is no pool 'serch'. Did you mean 'search'?\n"


def test_an_unknown_option_is_a_usage_error(manage: Run) -> None:
    assert manage("poolstatus", "--format", "xml").returncode == 2


@pytest.mark.parametrize("backend", [POSTGRES, ELASTICSEARCH])
def test_an_unreachable_server_is_one_clear_line(manage: Run, backend: str) -> None:
    scheme = "postgresql" if backend == POSTGRES else "http"
    location = f"{scheme}://me:hunter2@127.0.0.1:{free_port()}"
    done = manage("poolstatus", "--probe", pools={"x": {"BACKEND": backend, "LOCATION": location}})
    assert done.returncode == 1
    assert done.stderr == ""
    assert "Traceback" not in done.stdout
    assert "hunter2" not in done.stdout
    lines = done.stdout.strip().splitlines()
    assert lines[1].split()[:2] == ["x", "unhealthy"]
    assert [line.startswith("x is unhealthy: ") for line in lines] == [False] * 3 + [True]


def test_a_wrong_password_is_told_and_not_shown(manage: Run, postgres_url: str) -> None:
    address = postgres_url.rpartition("@")[2]
    location = f"postgresql://postgres:hunter2@{address}"
    done = manage("poolstatus", "--probe", pools={"x": {"BACKEND": POSTGRES, "LOCATION": location}})
    assert done.returncode == 1
    assert "password authentication failed" in done.stdout
    assert "hunter2" not in done.stdout


def test_one_that_is_unreachable_does_not_hide_the_others(manage: Run) -> None:
    pools = {
        "down": {"BACKEND": POSTGRES, "LOCATION": f"postgresql://127.0.0.1:{free_port()}/x"},
        "up": pool(),
    }
    done = manage("poolstatus", "--probe", pools=pools)
    assert done.returncode == 1
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:3]] == [
        ["down", "unhealthy"],
        ["up", "healthy"],
    ]


def test_checking_connects_to_nothing(manage: Run) -> None:
    location = f"postgresql://127.0.0.1:{free_port()}/x"
    done = manage("check", pools={"x": {"BACKEND": POSTGRES, "LOCATION": location}})
    assert done.returncode == 0
