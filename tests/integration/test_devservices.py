"""The development servers: each test starts real ones in folders of its own."""

import asyncio
import itertools
import json
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import boto3
import psutil
import pytest
import redis.asyncio
import redis.exceptions
from botocore.config import Config
from botocore.exceptions import ClientError
from elasticsearch import AsyncElasticsearch
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from poolapp.devservices import DevServiceError, MissingWheel, NotReady, ServerDied, Supervisor
from poolapp.devservices.folders import FOLDER_VARIABLE, default_folder, temporary_twin
from poolapp.devservices.ports import BELOW
from poolapp.devservices.record import Record
from poolapp.devservices.services import S3, Elasticsearch, MongoDB, Postgres, Redis
from tests.conftest import Services
from tests.servers import SESSION, PostgresServer, Session

STORES = ["postgres", "redis", "elasticsearch", "s3", "mongodb"]
NAMES = [*STORES, "feed"]
WITH_PASSWORD = ["postgres", "redis", "s3", "mongodb"]
_numbers = itertools.count(1)
PROJECT = Path(__file__).resolve().parents[2]


# One write and one read by each server's own driver.


async def postgres_value(url: str, value: str | None) -> str | None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
        if value is not None:
            await connection.execute("INSERT INTO kept VALUES ($1)", value)
        return await connection.fetchval("SELECT value FROM kept")
    finally:
        await connection.close()


async def redis_value(url: str, value: str | None) -> str | None:
    async with redis.asyncio.from_url(url, decode_responses=True) as client:
        if value is not None:
            await client.set("kept", value)
        return await client.get("kept")


async def elasticsearch_value(url: str, value: str | None) -> str | None:
    async with AsyncElasticsearch(url) as client:
        if value is not None:
            await client.index(index="kept", id="1", document={"value": value}, refresh=True)
        found = await client.options(ignore_status=404).get(index="kept", id="1")
        return found["_source"]["value"] if found.get("found") else None


async def mongodb_value(url: str, value: str | None) -> str | None:
    async with AsyncMongoClient(url, serverSelectionTimeoutMS=5000) as client:
        if value is not None:
            await client.kept.kept.insert_one({"_id": 1, "value": value})
        found = await client.kept.kept.find_one({"_id": 1})
        return found["value"] if found else None


async def s3_value(url: str, value: str | None) -> str | None:
    return await asyncio.to_thread(_s3_value, url, value)


def _s3_value(url: str, value: str | None) -> str | None:
    parts = urlsplit(url)
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{parts.hostname}:{parts.port}",
        aws_access_key_id=parts.username,
        aws_secret_access_key=parts.password,
        region_name="us-east-1",
        config=Config(connect_timeout=5, read_timeout=20),
    )
    try:
        if value is not None:
            client.create_bucket(Bucket="kept")
            client.put_object(Bucket="kept", Key="value", Body=value.encode())
        if "kept" not in [each["Name"] for each in client.list_buckets()["Buckets"]]:
            return None
        with client.get_object(Bucket="kept", Key="value")["Body"] as body:
            return body.read().decode()
    finally:
        client.close()


VALUE: dict[str, Callable[[str, str | None], Awaitable[str | None]]] = {
    "postgres": postgres_value,
    "redis": redis_value,
    "elasticsearch": elasticsearch_value,
    "mongodb": mongodb_value,
    "s3": s3_value,
}
REFUSALS = (
    asyncpg.InvalidPasswordError,
    redis.exceptions.AuthenticationError,
    ClientError,
    OperationFailure,
)


def with_wrong_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(parts.password, "wrong")))


def processes_below(folder: Path) -> list[psutil.Process]:
    """All living processes whose working folder is one of the servers'."""
    places = [folder.resolve(), temporary_twin(folder)]
    found = []
    for process in psutil.process_iter():
        try:
            where = Path(process.cwd())
        except (psutil.Error, OSError):
            continue
        if any(where.is_relative_to(place) for place in places):
            found.append(process)
    return found


def command(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `manage.py devservices` as a user does, on a folder of the test's."""
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-m", "django", "devservices", *arguments],
        cwd=PROJECT,
        env=outside({FOLDER_VARIABLE: str(folder), **variables}),
        capture_output=True,
        text=True,
        check=False,
    )


def run_as(
    user: pwd.struct_passwd, python: str, program: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run a program as an ordinary user, in a folder that is his."""
    return subprocess.run(
        [python, "-X", "dev", "-W", "error", "-c", program],
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        cwd=folder.parent,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": _search_path(),
            FOLDER_VARIABLE: str(folder),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def outside(variables: dict[str, str]) -> dict[str, str]:
    """The environment without this session's own servers."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("POOLAPP_")}
    return {**kept, "DJANGO_SETTINGS_MODULE": "tests.devservices_settings", **variables}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    """All servers, for tests that leave them as they are."""
    supervisor = Supervisor(tmp_path_factory.mktemp("running"), environment={})
    supervisor.up()
    yield supervisor
    supervisor.down(discard=True)


@pytest.fixture
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Supervisor]]:
    """Make supervisors of the test's own; their servers end with the test."""
    made: list[Supervisor] = []
    number = next(_numbers)
    session = request.config.stash[SESSION].folder

    def make(*services: object, folder: str = "own", **arguments: object) -> Supervisor:
        arguments.setdefault("environment", {})
        made.append(Supervisor(session / f"{folder}-{number}", services or None, **arguments))
        return made[-1]

    yield make
    for supervisor in made:
        supervisor.down(discard=True)
        assert processes_below(supervisor.folder) == []


class TestUp:
    @pytest.mark.parametrize("name", STORES)
    async def test_each_server_takes_a_write_and_gives_it_back(
        self, running: Supervisor, name: str
    ) -> None:
        url = running.urls()[name]
        assert await VALUE[name](url, "first") == "first"

    @pytest.mark.parametrize("name", WITH_PASSWORD)
    async def test_a_wrong_password_is_refused(self, running: Supervisor, name: str) -> None:
        with pytest.raises(REFUSALS):
            await VALUE[name](with_wrong_password(running.urls()[name]), None)

    async def test_mongodb_refuses_commands_without_a_password(self, running: Supervisor) -> None:
        port = urlsplit(running.urls()["mongodb"]).port
        async with AsyncMongoClient("127.0.0.1", port, serverSelectionTimeoutMS=5000) as client:
            with pytest.raises(OperationFailure, match="requires authentication"):
                await client.kept.kept.find_one({})

    async def test_the_probe_leaves_no_bucket(self, make: Callable[..., Supervisor]) -> None:
        own = make()
        assert await s3_value(own.up("s3")["s3"], None) is None

    def test_a_second_up_changes_nothing(self, running: Supervisor) -> None:
        before = running.status()
        urls = running.up()
        assert running.status() == before
        assert urls == running.urls()

    def test_urls_have_the_form_that_drivers_take(self, running: Supervisor) -> None:
        schemes = {name: urlsplit(url).scheme for name, url in running.urls().items()}
        assert schemes == {
            "postgres": "postgresql",
            "redis": "redis",
            "elasticsearch": "http",
            "s3": "http",
            "mongodb": "mongodb",
            "feed": "ws",
        }
        assert all(urlsplit(url).hostname == "127.0.0.1" for url in running.urls().values())
        assert all(urlsplit(url).port < BELOW for url in running.urls().values())

    def test_servers_listen_on_this_machine_only(self, running: Supervisor) -> None:
        listening = {
            each.laddr.ip
            for process in processes_below(running.folder)
            for each in process.net_connections("inet")
            if each.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1"}

    def test_only_the_named_services_start(self, make: Callable[..., Supervisor]) -> None:
        own = make()
        assert list(own.up("redis")) == ["redis"]
        states = {row.name: row.state for row in own.status()}
        assert states == {**dict.fromkeys(NAMES, "stopped"), "redis": "running"}

    def test_two_folders_at_once_are_two_sets_of_servers(
        self, make: Callable[..., Supervisor]
    ) -> None:
        one, other = make(folder="one"), make(folder="other")
        first, second = one.up("postgres", "redis"), other.up("postgres", "redis")
        assert {*first.values()}.isdisjoint(second.values())
        one.down()
        assert other.urls() == second

    async def test_server_settings_are_handed_on(self, make: Callable[..., Supervisor]) -> None:
        own = make(Postgres({"max_connections": 7}))
        connection = await asyncpg.connect(own.up()["postgres"])
        assert await connection.fetchval("SHOW max_connections") == "7"
        await connection.close()

    def test_several_commands_at_once_start_one_server(self, tmp_path: Path) -> None:
        arguments = [sys.executable, "-m", "django", "devservices", "up", "redis"]
        runs = [
            subprocess.Popen(
                arguments,
                cwd=PROJECT,
                env=outside({FOLDER_VARIABLE: str(tmp_path / "own")}),
                stdout=subprocess.PIPE,
            )
            for _ in range(3)
        ]
        try:
            outputs = {run.communicate()[0] for run in runs}
            assert len(outputs) == 1
            assert len(processes_below(tmp_path / "own")) == 1
        finally:
            Supervisor(tmp_path / "own", environment={}).down(discard=True)


class TestDown:
    async def test_it_leaves_no_process_and_keeps_the_data(
        self, make: Callable[..., Supervisor]
    ) -> None:
        own = make()
        urls = own.up()
        for name in STORES:
            await VALUE[name](urls[name], f"kept by {name}")
        own.down()
        assert processes_below(own.folder) == []
        assert {row.state for row in own.status()} == {"stopped"}
        assert own.urls() == {}

        urls = own.up()
        for name in STORES:
            assert await VALUE[name](urls[name], None) == f"kept by {name}"

    def test_a_server_keeps_its_port_and_password(self, make: Callable[..., Supervisor]) -> None:
        own = make(Redis())
        before = own.up()
        own.down()
        assert own.up() == before

    def test_discard_leaves_no_file(self, tmp_path: Path) -> None:
        """Nor in the temporary folder, where PostgreSQL's are when root's are out of its reach."""
        own = Supervisor(tmp_path / "own", environment={})
        own.up()
        own.down(discard=True)
        assert [each.name for each in own.folder.iterdir()] == [".lock"]
        assert not temporary_twin(own.folder).exists()

    def test_a_paused_server_is_stopped_cleanly(self, make: Callable[..., Supervisor]) -> None:
        own = make(Postgres())
        own.up()
        own.pause("postgres")
        own.down()
        assert "database system is shut down" in (own.folder / "postgres.log").read_text()

    def test_a_folder_that_never_was_is_not_made(self, make: Callable[..., Supervisor]) -> None:
        own = make()
        own.down()
        assert not own.folder.exists()

    def test_a_shell_in_the_servers_folder_lives_on(self, make: Callable[..., Supervisor]) -> None:
        own = make(Redis())
        own.up()
        with subprocess.Popen(["cat"], cwd=own.folder / "redis", stdin=subprocess.PIPE) as shell:
            own.down()
            assert shell.poll() is None
            shell.communicate()


class TestKilledServers:
    @pytest.mark.parametrize("name", ["postgres", "redis", "s3", "mongodb"])
    async def test_kill_and_restart_keep_port_and_data(
        self, make: Callable[..., Supervisor], name: str
    ) -> None:
        own = make()
        url = own.up(name)[name]
        await VALUE[name](url, "survived")
        own.kill(name)
        assert processes_below(own.folder) == []
        (row,) = own.status(name)
        assert (row.state, row.pid) == ("dead", None)
        assert own.urls() == {}

        assert own.restart(name) == url
        assert await VALUE[name](url, None) == "survived"

    async def test_the_elasticsearch_stand_in_comes_back_on_its_port(
        self, make: Callable[..., Supervisor]
    ) -> None:
        own = make(Elasticsearch())
        url = own.up()["elasticsearch"]
        own.kill("elasticsearch")
        assert own.restart("elasticsearch") == url
        assert await elasticsearch_value(url, "new") == "new"

    def test_restart_of_a_running_server_replaces_its_process(
        self, make: Callable[..., Supervisor]
    ) -> None:
        own = make(Redis())
        url = own.up()["redis"]
        (before,) = own.status()
        assert own.restart("redis") == url
        (after,) = own.status()
        assert after.pid != before.pid

    async def test_a_paused_server_answers_when_it_is_resumed(
        self, make: Callable[..., Supervisor]
    ) -> None:
        own = make(Postgres())
        connection = await asyncpg.connect(own.up()["postgres"])
        own.pause("postgres")
        (row,) = own.status()
        assert row.state == "running"
        with pytest.raises(TimeoutError):
            await asyncpg.connect(own.urls()["postgres"], timeout=0.1)
        answer = asyncio.ensure_future(connection.fetchval("SELECT 1"))
        own.resume("postgres")
        assert await answer == 1
        await connection.close()

    async def test_children_that_outlive_a_killed_parent_are_cleaned_up(
        self, make: Callable[..., Supervisor]
    ) -> None:
        own = make(Postgres())
        await postgres_value(own.up()["postgres"], "survived")
        (row,) = own.status()
        own.pause("postgres")  # so that no child can notice its parent's end
        os.kill(row.pid, signal.SIGKILL)
        orphans = [each for each in processes_below(own.folder) if each.pid != row.pid]
        assert orphans

        url = own.up()["postgres"]
        assert await postgres_value(url, None) == "survived"
        assert not any(each.is_running() and each.status() != "zombie" for each in orphans)

    def test_a_stale_pidfile_does_not_stand_for_a_stranger(
        self, make: Callable[..., Supervisor]
    ) -> None:
        own = make(Redis())
        own.up()
        own.kill("redis")
        path = own.folder / "redis.json"
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as stranger:
            recycled = json.loads(path.read_text())
            recycled |= {"pid": stranger.pid, "born": psutil.Process(stranger.pid).create_time()}
            path.write_text(json.dumps(recycled))
            (row,) = own.status()
            assert row.state == "dead"

            own.up()
            (row,) = own.status()
            assert row.state == "running"
            assert row.pid != stranger.pid
            own.down()
            assert stranger.poll() is None
            stranger.communicate()

    def test_a_pid_with_another_start_time_is_not_ours(
        self, make: Callable[..., Supervisor]
    ) -> None:
        own = make(Redis())
        own.up()
        path = own.folder / "redis.json"
        values = json.loads(path.read_text())
        path.write_text(json.dumps({**values, "born": values["born"] - 3600}))
        (row,) = own.status()
        assert row.state == "dead"

    async def test_a_first_start_that_was_cut_short_is_done_again(
        self, make: Callable[..., Supervisor]
    ) -> None:
        own = make(MongoDB())
        half = own.folder / "mongodb" / "data.new"
        half.mkdir(parents=True)
        (half / "WiredTiger").write_text("half written")
        assert await mongodb_value(own.up()["mongodb"], "first") == "first"


class TestPorts:
    def test_up_leaves_a_taken_port_to_its_holder(
        self, make: Callable[..., Supervisor], tmp_path: Path
    ) -> None:
        one, other = make(Redis(), folder="one"), make(Redis(), folder="other")
        other.up()
        other.down()
        taken = Record.read(other.folder / "redis.json").ports
        one.folder.mkdir()
        Record(ports=taken, password="one").write(one.folder / "redis.json")
        one.up()

        assert urlsplit(other.up()["redis"]).port != taken[0]
        assert urlsplit(one.urls()["redis"]).port == taken[0]

    def test_restart_on_a_taken_port_says_why_it_failed(
        self, make: Callable[..., Supervisor]
    ) -> None:
        one, other = make(Redis(), folder="one"), make(Redis(), folder="other")
        one.up()
        taken = Record.read(one.folder / "redis.json").ports
        other.folder.mkdir()
        Record(ports=taken, password="other").write(other.folder / "redis.json")
        with pytest.raises(ServerDied, match="Address already in use"):
            other.restart("redis")


class Deaf(Redis):
    """Genuine Valkey whose first starts never open their port."""

    patience = (0.3, 0.3, 20.0)

    def __init__(self, times: int) -> None:
        self.times = times

    def command(self, home: Path, record: Record) -> list[str]:
        self.times -= 1
        command = super().command(home, record)
        return command if self.times < 0 else [*command, "--port", "0", "--unixsocket", "deaf"]


class TestTries:
    def test_a_server_that_never_gets_ready_is_started_again_on_another_port(
        self, make: Callable[..., Supervisor]
    ) -> None:
        own = make(Deaf(2))
        own.folder.mkdir()
        refused = (*Redis().choose_ports(),)
        Record(ports=refused, password="kept").write(own.folder / "redis.json")
        url = urlsplit(own.up()["redis"])
        assert (url.password, url.port in refused) == ("kept", False)
        assert len(processes_below(own.folder)) == 1

    async def test_restart_tries_again_on_the_port_that_clients_know(
        self, make: Callable[..., Supervisor]
    ) -> None:
        service = Deaf(0)
        own = make(service)
        url = own.up()["redis"]
        own.kill("redis")
        service.times = 1
        assert own.restart("redis") == url
        assert await redis_value(url, "again") == "again"

    def test_a_server_that_runs_and_never_gets_ready_is_replaced_by_up(
        self, make: Callable[..., Supervisor]
    ) -> None:
        own = make(Redis())
        before = own.up()
        (row,) = own.status()
        os.kill(row.pid, signal.SIGSTOP)
        own.services["redis"].patience = (0.3, 20.0)
        assert own.up().keys() == before.keys()
        assert not psutil.pid_exists(row.pid)

    def test_the_error_tells_every_try_and_no_process_is_left(
        self, make: Callable[..., Supervisor]
    ) -> None:
        service = Deaf(9)
        service.patience = (0.1, 0.2)
        own = make(service)
        with pytest.raises(NotReady) as caught:
            own.up()
        text = str(caught.value)
        assert text.startswith("Redis (Valkey) could not be started.")
        assert "Try 1: Redis (Valkey) ran on port" in text
        assert "Try 2: Redis (Valkey) ran on port" in text
        assert "was not ready after 0.2 s: [Errno 111] Connection refused" in text
        assert f"The end of {own.folder / 'redis.log'}" in text
        assert processes_below(own.folder) == []

    def test_the_drivers_of_probes_are_imported_before_any_thread(self, tmp_path: Path) -> None:
        """Two threads that import what imports the same third can leave each other half of it."""
        program = (
            "import sys, threading\n"
            "class Watch:\n"
            "    seen = set()\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name.partition('.')[0] in ('botocore', 'pymongo', 'OpenSSL', 'ssl'):\n"
            "            self.seen.add(threading.current_thread().name)\n"
            "sys.meta_path.insert(0, Watch())\n"
            "from poolapp.devservices import Supervisor\n"
            "own = Supervisor(environment={})\n"
            "own.up('s3', 'mongodb')\n"
            "own.down(discard=True)\n"
            "print(Watch.seen)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=outside({FOLDER_VARIABLE: str(tmp_path / "own")}),
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout, done.stderr) == ("{'MainThread'}\n", "")

    def test_a_missing_driver_of_a_probe_says_what_to_install(
        self, make: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "botocore.auth", None)
        with pytest.raises(MissingWheel, match=r"probe of S3 \(SeaweedFS\).* botocore, which is"):
            make(S3()).up()


class TestLeftovers:
    @pytest.mark.parametrize("killed", [False, True])
    def test_s3_leaves_no_socket_in_the_temporary_folder(
        self, make: Callable[..., Supervisor], killed: bool
    ) -> None:
        own = make(S3())
        own.up()
        master, filer = (
            each
            for each in S3().leftovers(Record.read(own.folder / "s3.json").ports)
            if "master" in each.name or "filer" in each.name
        )
        assert master.is_socket()
        assert filer.is_socket()
        if killed:
            own.kill("s3")
        own.down(discard=True)
        assert not master.exists()
        assert not filer.exists()

    def test_s3_keeps_clear_of_another_users_sockets(self) -> None:
        """One that is left where the filer wants to listen has the S3 gateway wait without end."""
        if os.geteuid():
            pytest.skip("only root can leave something that is not ours")
        user = pwd.getpwnam("daemon")
        python = _python_of(user)
        folder = Path(f"/var/tmp/poolapp-user-{os.getpid()}")
        (folder / "own").mkdir(mode=0o700, parents=True)
        ports = S3().choose_ports()
        Record(ports=ports, password="kept").write(folder / "own" / "s3.json")
        for each in (folder, folder / "own", folder / "own" / "s3.json"):
            os.chown(each, user.pw_uid, user.pw_gid)
        left = S3().leftovers(ports)
        program = (
            "from poolapp.devservices import Supervisor\n"
            "own = Supervisor(environment={})\n"
            "own.services['s3'].patience = (10.0,)\n"
            "print(own.up('s3')['s3'])\n"
            "own.down(discard=True)\n"
        )
        try:
            for each in left:
                with socket.socket(socket.AF_UNIX) as stale:
                    stale.bind(str(each))
            done = run_as(user, python, program, folder / "own")
            assert done.stderr == ""
            assert urlsplit(done.stdout.strip()).port not in ports
            assert all(each.is_socket() for each in left)
        finally:
            for each in left:
                each.unlink()
            subprocess.run(["rm", "-r", folder], check=True)


class TestExternal:
    URL = "postgresql://someone:hidden@db.example.com:5433/app"

    def test_its_url_comes_from_the_environment_and_nothing_starts(
        self, make: Callable[..., Supervisor]
    ) -> None:
        own = make(Postgres(), environment={"POOLAPP_POSTGRES_URL": self.URL})
        assert own.up() == own.urls() == {"postgres": self.URL}
        assert processes_below(own.folder) == []

    def test_status_shows_where_it_is_and_no_password(
        self, make: Callable[..., Supervisor]
    ) -> None:
        own = make(Postgres(), environment={"POOLAPP_POSTGRES_URL": self.URL})
        (row,) = own.status()
        assert (row.state, row.address, row.pid) == ("external", "db.example.com:5433", None)
        assert "hidden" not in repr(row)

    @pytest.mark.parametrize("deed", ["kill", "restart", "pause", "resume"])
    def test_it_is_not_ours_to_end(self, make: Callable[..., Supervisor], deed: str) -> None:
        own = make(Postgres(), environment={"POOLAPP_POSTGRES_URL": self.URL})
        with pytest.raises(DevServiceError, match="POOLAPP_POSTGRES_URL is set"):
            getattr(own, deed)("postgres")


class TestErrors:
    def test_a_server_that_dies_shows_the_end_of_its_log(
        self, make: Callable[..., Supervisor]
    ) -> None:
        own = make(Postgres({"max_connections": "plenty"}))
        with pytest.raises(ServerDied, match="invalid value for parameter") as caught:
            own.up()
        assert str(own.folder / "postgres.log") in str(caught.value)

    def test_the_log_of_an_earlier_run_is_not_shown(self, make: Callable[..., Supervisor]) -> None:
        good, bad = make(Postgres()), make(Postgres({"max_connections": "plenty"}))
        good.up()
        good.down()
        with pytest.raises(ServerDied) as caught:
            bad.up()
        assert "ready to accept connections" not in str(caught.value)
        assert "ready to accept connections" in (good.folder / "postgres.log").read_text()

    def test_all_failures_are_told_and_the_others_still_run(
        self, make: Callable[..., Supervisor]
    ) -> None:
        own = make(Postgres({"max_connections": "plenty"}), MongoDB(), Redis())
        (own.folder / "mongodb").mkdir(parents=True)
        (own.folder / "mongodb" / "data").write_text("no folder")
        with pytest.raises(DevServiceError) as caught:
            own.up()
        assert "PostgreSQL ended" in str(caught.value)
        assert "MongoDB (SecantusDB, a stand-in) ended" in str(caught.value)
        assert list(own.urls()) == ["redis"]

    def test_a_missing_wheel_says_what_to_install(
        self, make: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = make(Elasticsearch())
        with monkeypatch.context() as bare:
            bare.setattr(sys, "path", [])
            with pytest.raises(MissingWheel) as caught:
                own.up()
        assert "noida-db" in str(caught.value)
        assert "pip install django-poolapp[devservices]" in str(caught.value)

    def test_an_unknown_name_lists_the_known_ones(self, make: Callable[..., Supervisor]) -> None:
        with pytest.raises(DevServiceError, match="There are: postgres, redis, elasticsearch"):
            make().up("oracle")

    @pytest.mark.parametrize("text", ["{", "{}", '{"ports": [1], "colour": "red"}'])
    def test_a_damaged_record_is_named(self, make: Callable[..., Supervisor], text: str) -> None:
        own = make(Redis())
        own.folder.mkdir()
        (own.folder / "redis.json").write_text(text)
        with pytest.raises(DevServiceError, match=r"redis\.json is damaged"):
            own.urls()
        (own.folder / "redis.json").unlink()


class TestSecrets:
    def test_records_and_logs_are_for_their_owner_only(self, running: Supervisor) -> None:
        for path in [*running.folder.glob("*.json"), *running.folder.glob("*.log")]:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path

    def test_no_command_line_shows_a_password(self, running: Supervisor) -> None:
        passwords = {urlsplit(url).password for url in running.urls().values()} - {None}
        assert len(passwords) == 5
        for process in processes_below(running.folder):
            assert not any(each in " ".join(process.cmdline()) for each in passwords)

    def test_no_status_log_or_repr_shows_a_password(self, running: Supervisor) -> None:
        shown = repr(running.status())
        for name in NAMES:
            shown += repr(Record.read(running.folder / f"{name}.json"))
            shown += (running.folder / f"{name}.log").read_text()
        for url in running.urls().values():
            assert (urlsplit(url).password or "no password") not in shown


class TestCommand:
    def test_servers_outlive_the_command_that_started_them(self, tmp_path: Path) -> None:
        folder = tmp_path / "own"
        try:
            started = command(folder, "up", "redis", "postgres")
            assert (started.returncode, started.stderr) == (0, "")
            assert started.stdout.count("running") == 2
            shown = command(folder, "status", "redis", "postgres")
            assert (shown.returncode, shown.stdout) == (0, started.stdout)
            sessions = {os.getsid(each.pid) for each in processes_below(folder)}
            assert os.getsid(0) not in sessions
        finally:
            stopped = command(folder, "down", "--discard")
        assert (stopped.returncode, stopped.stderr) == (0, "")
        assert processes_below(folder) == []

    def test_status_fails_when_one_is_not_there(self, tmp_path: Path) -> None:
        shown = command(tmp_path / "own", "status")
        assert shown.returncode == 1
        assert shown.stdout.count("stopped") == len(NAMES)

    def test_status_of_an_external_one_succeeds(self, tmp_path: Path) -> None:
        url = "redis://:hidden@cache.example.com:6379/0"
        shown = command(tmp_path / "own", "status", "redis", POOLAPP_REDIS_URL=url)
        assert shown.returncode == 0
        assert "external" in shown.stdout
        assert "cache.example.com:6379" in shown.stdout
        assert "hidden" not in shown.stdout

    def test_an_error_is_one_message_without_a_traceback(self, tmp_path: Path) -> None:
        failed = command(tmp_path / "own", "up", "oracle")
        assert failed.returncode == 1
        assert failed.stderr.startswith("CommandError: There is no service 'oracle'.")

    def test_discard_goes_with_down_only(self, tmp_path: Path) -> None:
        assert command(tmp_path / "own", "up", "--discard").returncode == 2


class TestImport:
    def test_settings_may_import_it(self, tmp_path: Path) -> None:
        """It needs no settings, no driver, and nothing of what starts servers."""
        program = (
            "import sys; from poolapp.devservices import urls; print(urls()); "
            "print({'asyncpg', 'pymongo', 'botocore', 'redis', 'psutil'}"
            " & {*sys.modules})"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=outside({FOLDER_VARIABLE: str(tmp_path / "own")}),
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split("\n")[:2] == ["{}", "set()"]

    def test_the_folder_is_the_projects_wherever_we_stand(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
        monkeypatch.chdir(tmp_path)
        assert default_folder() == PROJECT / ".devservices"

    def test_without_settings_the_folder_is_beside_manage_py(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
        monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
        (tmp_path / "manage.py").touch()
        (tmp_path / "deep" / "down").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "deep" / "down")
        assert default_folder() == tmp_path / ".devservices"


class TestUsers:
    def test_an_ordinary_user_can_run_all_servers(self, tmp_path: Path) -> None:
        if os.geteuid():
            pytest.skip("this session is an ordinary user's already")
        user = pwd.getpwnam("daemon")
        python = _python_of(user)
        folder = Path(f"/var/tmp/poolapp-user-{os.getpid()}")
        folder.mkdir(mode=0o700)
        os.chown(folder, user.pw_uid, user.pw_gid)
        program = (
            "from poolapp.devservices import Supervisor\n"
            "own = Supervisor(environment={})\n"
            "assert len(own.up()) == 6\n"
            "own.kill('postgres'); own.restart('postgres')\n"
            "print(*(row.state for row in own.status()))\n"
            "own.down(discard=True)\n"
        )
        try:
            done = run_as(user, python, program, folder / "own")
            assert (done.stdout, done.stderr) == ("running " * 5 + "running\n", "")
            assert processes_below(folder) == []
        finally:
            subprocess.run(["rm", "-r", folder], check=True)

    def test_another_users_folder_is_an_error_that_says_so(self, tmp_path: Path) -> None:
        if os.geteuid():
            pytest.skip("only root can make a folder for another user")
        user = pwd.getpwnam("daemon")
        python = _python_of(user)
        folder = Path(f"/var/tmp/poolapp-user-{os.getpid()}")
        folder.mkdir(mode=0o711)
        try:
            done = subprocess.run(
                [python, "-c", "from poolapp.devservices import up; up('redis')"],
                user=user.pw_uid,
                group=user.pw_gid,
                extra_groups=[],
                cwd="/",
                env={"PYTHONPATH": _search_path(), FOLDER_VARIABLE: str(folder)},
                capture_output=True,
                text=True,
                check=False,
            )
            assert f"{folder} is not ours to use (Permission denied)" in done.stderr
            assert FOLDER_VARIABLE in done.stderr
        finally:
            folder.rmdir()

    def test_a_place_that_nobody_can_reach_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if os.geteuid():
            pytest.skip("only as root another user runs PostgreSQL")
        tmp_path.chmod(0o700)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        with pytest.raises(DevServiceError, match=f"can't reach {tmp_path}.*{FOLDER_VARIABLE}"):
            Supervisor(tmp_path / "own", [Postgres()], environment={}).up()

    def test_a_strangers_temporary_folder_is_not_used(self, tmp_path: Path) -> None:
        if os.geteuid():
            pytest.skip("only root keeps PostgreSQL's files there")
        tmp_path.chmod(0o700)
        folder = tmp_path / "own"
        twin = temporary_twin(folder)
        twin.mkdir()
        os.chown(twin, pwd.getpwnam("daemon").pw_uid, -1)
        try:
            with pytest.raises(DevServiceError, match="belongs to somebody else"):
                Supervisor(folder, [Postgres()], environment={}).up()
        finally:
            twin.rmdir()


def _search_path() -> str:
    return os.pathsep.join([str(PROJECT), *(each for each in sys.path if "site-packages" in each)])


def _python_of(user: pwd.struct_passwd) -> str:
    """A Python of this version that the user may run; ours may be in somebody's home."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (
        sys.executable,
        f"/usr/local/bin/python{version}",
        f"/usr/bin/python{version}",
    ):
        try:
            subprocess.run(
                [candidate, "-c", "import psutil, pymongo, botocore.auth"],
                user=user.pw_uid,
                group=user.pw_gid,
                extra_groups=[],
                cwd="/",
                env={"PYTHONPATH": _search_path()},
                capture_output=True,
                check=True,
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate
    pytest.skip(f"user {user.pw_name} can run no Python {version} here")


class TestSession:
    @pytest.mark.parametrize(
        "postgres_server", [{"max_connections": 5, "jit": "off"}], indirect=True
    )
    async def test_a_server_of_ones_own_has_the_settings_asked_for(
        self, postgres_server: PostgresServer
    ) -> None:
        connection = await asyncpg.connect(postgres_server.url)
        assert await connection.fetchval("SHOW max_connections") == "5"
        await connection.close()

    async def test_a_server_of_ones_own_may_be_killed_and_restarted(
        self, postgres_server: PostgresServer
    ) -> None:
        await postgres_value(postgres_server.url, "survived")
        postgres_server.kill()
        with pytest.raises(OSError):
            await asyncpg.connect(postgres_server.url)
        postgres_server.restart()
        assert await postgres_value(postgres_server.url, None) == "survived"

    async def test_two_servers_of_ones_own_run_at_once(
        self, postgres_server: PostgresServer, request: pytest.FixtureRequest
    ) -> None:
        other = request.config.stash[SESSION].postgres("another", {})
        assert other.url != postgres_server.url
        await postgres_value(other.url, "other")
        assert await postgres_value(postgres_server.url, None) is None
        other.discard()

    async def test_the_sessions_servers_are_mended_after_a_test(
        self, server_urls: dict[str, str], request: pytest.FixtureRequest
    ) -> None:
        handle = Services(request.config.stash[SESSION])
        handle.kill("redis")
        handle.pause("postgres")
        handle.mend()
        async with redis.asyncio.from_url(server_urls["redis"]) as client:
            assert await client.ping()
        connection = await asyncpg.connect(server_urls["postgres"], timeout=10)
        await connection.close()

    async def test_the_admins_connection_sees_sessions(self, pg_admin: asyncpg.Connection) -> None:
        seen = "SELECT count(*) FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        assert await pg_admin.fetchval(seen) == 1

    def test_a_session_removes_what_a_killed_one_left(self) -> None:
        program = (
            "import os; from tests.servers import Session\n"
            "own = Session()\n"
            "own.supervisor.up('redis')\n"
            "print(own.folder, flush=True)\n"
            "os.kill(os.getpid(), 9)\n"
        )
        killed = subprocess.run(
            [sys.executable, "-c", program],
            cwd=PROJECT,
            env=outside({}),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        left = Path(killed.stdout.strip())
        assert len(processes_below(left)) == 1
        program = (
            "from tests.servers import Session\n"
            "own = Session()\n"
            "print(own.folder, own.folder.is_dir())\n"
            "own.end()\n"
        )
        subprocess.run([sys.executable, "-c", program], cwd=PROJECT, env=outside({}), check=True)
        assert processes_below(left) == []
        assert not left.exists()

    async def test_a_living_sessions_servers_are_left_alone(
        self, server_urls: dict[str, str]
    ) -> None:
        other = Session()
        assert other.folder.is_dir()
        other.end()
        assert not other.folder.exists()
        async with redis.asyncio.from_url(server_urls["redis"]) as client:
            assert await client.ping()

    @pytest.mark.parametrize(
        ("arguments", "servers"),
        [
            (["--collect-only", "tests/integration/test_devservices.py"], "none"),
            (["--help"], "none"),
            (["tests/unit"], "none"),
            (["tests/integration/test_devservices.py::TestImport", "tests/unit"], "running"),
        ],
    )
    def test_servers_start_only_for_runs_that_need_them(
        self, tmp_path: Path, arguments: list[str], servers: str
    ) -> None:
        (tmp_path / "tell.py").write_text(
            "import os, pathlib\n"
            "def pytest_unconfigure():\n"
            "    told = 'running' if 'POOLAPP_S3_URL' in os.environ else 'none'\n"
            "    pathlib.Path(os.environ['TOLD']).write_text(told)\n"
        )
        variables = {
            "DJANGO_SETTINGS_MODULE": "tests.devservices_settings",
            "PYTHONPATH": str(tmp_path),
            "TOLD": str(tmp_path / "told"),
        }
        plugins = ["-p", "tests.servers", "-p", "tell"]
        subprocess.run(
            # No test is called so: which servers start is known before any is run.
            [sys.executable, "-m", "pytest", *plugins, "-k", "no_such_test", *arguments],
            cwd=PROJECT,
            env=outside(variables),
            capture_output=True,
            check=False,
        )
        assert (tmp_path / "told").read_text() == servers
