import importlib.util
import shutil
import socket
import sys
import time
from pathlib import Path

from poolapp.devservices import processes
from poolapp.devservices.exceptions import MissingWheel, NotReady, ServerDied
from poolapp.devservices.record import Record
from poolapp.devservices.service import Service, is_python_module

USER = "poolapp"
_PREPARE_SECONDS = 15.0


class MongoDB(Service):
    """SecantusDB, a stand-in that speaks MongoDB's protocol.

    It is only ever run, never imported: its licence is the GPL.
    """

    name = "mongodb"
    title = "MongoDB (SecantusDB, a stand-in)"
    probe_modules = ("pymongo", "pymongo.synchronous.auth")

    def prepare(self, home: Path, record: Record, log: Path) -> None:
        """Make the user: that takes a first run without passwords, on data put in place after."""
        super().prepare(home, record, log)
        (home / "secantus.toml").touch()  # else it looks for one in the user's own folders
        data, fresh = home / "data", home / "data.new"
        if data.exists():
            return
        shutil.rmtree(fresh, ignore_errors=True)
        command = self._command(home, record, fresh)
        pid, born = processes.spawn(self, command, home, log)
        try:
            running = Record(ports=record.ports, password="", pid=pid, born=born)
            deadline = time.monotonic() + _PREPARE_SECONDS
            while not _make_user(record):
                if processes.find(self, home, running) is None:
                    raise ServerDied(f"{self.title} ended before it took its first user.")
                if time.monotonic() > deadline:
                    raise NotReady(
                        f"{self.title} took no first user within {_PREPARE_SECONDS:.0f} s."
                    )
                time.sleep(0.01)
        finally:
            # Every commit is synced, so nothing is lost; a clean stop would take two seconds.
            processes.kill(self, home)
        fresh.rename(data)

    def command(self, home: Path, record: Record) -> list[str]:
        return [*self._command(home, record, home / "data"), "--auth"]

    def _command(self, home: Path, record: Record, data: Path) -> list[str]:
        if importlib.util.find_spec("secantus") is None:
            raise MissingWheel(self.title, "SecantusDB")
        return [
            *(sys.executable, "-m", "secantus", "--config", str(home / "secantus.toml")),
            *("--host", "127.0.0.1", "--port", str(record.port)),
            *("--storage-path", str(data), "--cache-size", "128M", "--sync-on-commit"),
        ]

    def recognises(self, executable: str, arguments: list[str]) -> bool:
        return is_python_module("secantus", executable, arguments)

    def url(self, record: Record) -> str:
        return f"mongodb://{USER}:{record.password}@127.0.0.1:{record.port}/?authSource=admin"

    def probe(self, record: Record) -> None:
        from pymongo import MongoClient
        from pymongo.errors import PyMongoError

        _knock(record)
        try:
            with MongoClient[dict[str, object]](
                self.url(record), serverSelectionTimeoutMS=1000
            ) as client:
                client.admin.command("usersInfo", USER)
        except PyMongoError as error:
            raise ConnectionError(f"MongoDB refuses: {error}") from error


def _make_user(record: Record) -> bool:
    """Make the user; False while the server does not answer yet."""
    from pymongo import MongoClient
    from pymongo.errors import ConnectionFailure

    try:
        _knock(record)
        with MongoClient[dict[str, object]](
            "127.0.0.1", record.port, serverSelectionTimeoutMS=1000
        ) as client:
            client.admin.command("createUser", USER, pwd=record.password, roles=["root"])
    except (OSError, ConnectionFailure):
        return False
    return True


def _knock(record: Record) -> None:
    """Raise OSError while nobody listens: the driver would wait half a second to try again."""
    socket.create_connection(("127.0.0.1", record.port), timeout=1.0).close()
