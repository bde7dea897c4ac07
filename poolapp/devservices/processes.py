"""Starting, recognising and ending the servers' processes."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from poolapp.devservices.exceptions import DevServiceError, MissingWheel
from poolapp.devservices.record import Record

if TYPE_CHECKING:
    import psutil

    from poolapp.devservices.service import Service

_KILL_SECONDS = 10.0
_STEP_SECONDS = 0.005
_CLOCK_SECONDS = 2.0  # a start time is counted from the boot's, which moves with the clock
_KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH")


class _Server(subprocess.Popen[bytes]):
    """A child that outlives this process on purpose, so its end of life warns of nothing."""

    def __del__(self) -> None:
        pass


# Our own children stay zombies until they are waited for, and PostgreSQL takes the zombie of a
# killed postmaster for a living one.
_children: dict[int, _Server] = {}


def _psutil() -> ModuleType:
    try:
        import psutil
    except ImportError as error:
        raise MissingWheel("The supervisor of the development servers", "psutil") from error
    return psutil


def spawn(service: "Service", command: Sequence[str], home: Path, log: Path) -> tuple[int, float]:
    """Start a server in a session of its own and return its pid and start time.

    It sees little of our environment: PostgreSQL, SeaweedFS and Python take settings from there.
    Raises `DevServiceError` when its program can't be run.
    """
    psutil = _psutil()
    account = service.account(home)
    environment = {key: os.environ[key] for key in _KEPT if key in os.environ}
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        child = _Server(
            command,
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=subprocess.STDOUT,
            cwd=home,
            env={**environment, "HOME": str(home)},
            umask=0o077,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except OSError as error:
        raise DevServiceError(f"{service.title} can't be run: {error}.") from error
    finally:
        os.close(handle)
    _children[child.pid] = child
    try:
        process = psutil.Process(child.pid)
        # We go on before the kernel has put the new program's arguments in place, and without
        # them nobody recognises it. A dead one raises.
        while not process.cmdline():
            time.sleep(_STEP_SECONDS)
        return child.pid, process.create_time()
    except psutil.Error:  # it died at once; waiting for it to be ready finds out
        return child.pid, time.time()


def find(service: "Service", home: Path, record: Record | None) -> "psutil.Process | None":
    """Return the server's process if it lives; a stranger with a recycled pid is not it."""
    _reap()
    if record is None or record.pid is None or record.born is None:
        return None
    library = _psutil()
    try:
        process: psutil.Process = library.Process(record.pid)
        if abs(process.create_time() - record.born) > _CLOCK_SECONDS:
            return None
    except library.Error:
        return None
    return process if _belongs(service, home, process) else None


def family(service: "Service", home: Path) -> "list[psutil.Process]":
    """Return every living process of this server, also those that outlived a killed parent."""
    _reap()
    return [each for each in _all() if _belongs(service, home, each)]


def _all() -> "Iterator[psutil.Process]":
    yield from _psutil().process_iter()


def _belongs(service: "Service", home: Path, process: "psutil.Process") -> bool:
    """Tell by program and working folder.

    Neither sessions nor parents nor the environment would do: PostgreSQL's workers make
    sessions of their own, are orphaned by a kill, and overwrite the environment with their title.
    """
    psutil = _psutil()
    try:
        if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
            return False
        folder = Path(process.cwd())
        return folder.is_relative_to(home.resolve()) and service.recognises(
            process.exe(), process.cmdline()
        )
    except (psutil.Error, OSError):
        return False


def listens(service: "Service", home: Path, port: int) -> bool:
    """Whether it is this server that answers on the port, and not a stranger."""
    psutil = _psutil()
    for process in family(service, home):
        try:
            sockets = process.net_connections("tcp")
        except psutil.Error:
            continue
        for each in sockets:
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port:
                return True
    return False


def send(service: "Service", home: Path, number: signal.Signals) -> None:
    """Send a signal to every process of the server."""
    for process in family(service, home):
        _send(process, number)


def stop(service: "Service", home: Path, record: Record | None, number: signal.Signals) -> None:
    """Ask the server to stop, wait, and kill what is left. Leaves no process."""
    main = find(service, home, record)
    if main is not None:
        send(service, home, signal.SIGCONT)  # a paused one could not obey
        _send(main, number)
        try:
            main.wait(timeout=service.stop_seconds)
        except _psutil().TimeoutExpired:
            pass
    kill(service, home)


def kill(service: "Service", home: Path) -> None:
    """SIGKILL every process of the server and wait for their end.

    Raises `DevServiceError` when one stays.
    """
    deadline = time.monotonic() + _KILL_SECONDS
    while left := family(service, home):
        if time.monotonic() > deadline:
            pids = ", ".join(str(each.pid) for each in left)
            raise DevServiceError(f"{service.title} can't be killed: pid {pids} stays.")
        for process in left:
            _send(process, signal.SIGKILL)
        # Not psutil's wait: an orphan stays a zombie for as long as pid 1 likes.
        time.sleep(_STEP_SECONDS)


def _send(process: "psutil.Process", number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except _psutil().NoSuchProcess:
        pass


def _reap() -> None:
    for pid, child in list(_children.items()):
        if child.poll() is not None:
            _children.pop(pid, None)
