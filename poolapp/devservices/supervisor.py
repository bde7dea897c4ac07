"""Starting, watching and stopping the servers of one folder."""

import fcntl
import importlib
import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from poolapp.devservices import processes
from poolapp.devservices.exceptions import DevServiceError, MissingWheel, NotReady, ServerDied
from poolapp.devservices.folders import default_folder, foreign, make_folder
from poolapp.devservices.record import Record
from poolapp.devservices.service import Service
from poolapp.devservices.services import all_services

_PROBE_SECONDS = 0.02
_LOG_LINES = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceStatus:
    """One row of `status`. `dead` is a server that ended without being stopped."""

    name: str
    state: Literal["running", "stopped", "external", "dead"]
    address: str = ""
    pid: int | None = None
    log: Path | None = None


class Supervisor:
    """The servers whose files are in one folder; by default the project's `.devservices`.

    Commands of several processes and threads on the same folder follow one another.
    """

    def __init__(
        self,
        folder: Path | None = None,
        services: Sequence[Service] | None = None,
        *,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.folder = Path(folder).absolute() if folder else default_folder()
        self.services = {each.name: each for each in services or all_services()}
        # Where the URLs of external services are looked for.
        self._environment = environment

    # Commands

    def up(self, *names: str) -> dict[str, str]:
        """Start the named services (all when none is named), at once, and return their URLs."""
        chosen = self._choose(names)
        own = [each for each in chosen if not self._external(each)]
        _import_probes(own)
        with self._locked():
            self._at_once(self._start, own)
        return {name: url for name, url in self.urls().items() if self.services[name] in chosen}

    def down(self, *names: str, discard: bool = False) -> None:
        """Stop the named services (all when none is named); `discard` deletes their data too."""
        chosen = self._choose(names)
        if not self.folder.exists():
            return
        with self._locked():
            self._at_once(self._discard if discard else self._stop, chosen)

    def kill(self, name: str) -> None:
        """SIGKILL one server and its children, and wait for their end."""
        service = self._own(name)
        with self._locked():
            processes.kill(service, service.home(self.folder))

    def restart(self, name: str) -> str:
        """Start one server again on the same port and data, and return its URL."""
        service = self._own(name)
        _import_probes([service])
        with self._locked():
            self._stop(service)
            self._start(service, keep_ports=True)
        return self.urls()[name]

    def pause(self, name: str) -> None:
        """Freeze one server (SIGSTOP): its connections stay open and nothing answers."""
        service = self._own(name)
        processes.send(service, service.home(self.folder), signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a frozen server go on."""
        service = self._own(name)
        processes.send(service, service.home(self.folder), signal.SIGCONT)

    # Questions

    def status(self, *names: str) -> list[ServiceStatus]:
        """Tell what each service does now. No password is in it."""
        return [self._status(each) for each in self._choose(names)]

    def urls(self) -> dict[str, str]:
        """Return service name -> URL, from the environment or a running server."""
        found = {}
        for service in self.services.values():
            if given := self._external(service):
                found[service.name] = given
            elif (record := Record.read(self._record(service))) and self._find(service, record):
                found[service.name] = service.url(record)
        return found

    def _status(self, service: Service) -> ServiceStatus:
        if given := self._external(service):
            address = urlsplit(given).netloc.rpartition("@")[2] or f"see {service.variable}"
            return ServiceStatus(name=service.name, state="external", address=address)
        record, log = Record.read(self._record(service)), self._log(service)
        if record is None or record.pid is None:
            return ServiceStatus(name=service.name, state="stopped", log=_existing(log))
        running = self._find(service, record)
        return ServiceStatus(
            name=service.name,
            state="running" if running else "dead",
            address=f"127.0.0.1:{record.port}",
            pid=record.pid if running else None,
            log=_existing(log),
        )

    # One service

    def _start(self, service: Service, *, keep_ports: bool = False) -> None:
        """Have the server ready, in as many tries as it has patience for.

        What one try meets the next may not: a port that was taken between choice and use, parts
        of a server that wait for each other.
        """
        log = self._log(service)
        failures: list[str] = []
        for patience in service.patience:
            log_start = log.stat().st_size if log.exists() else 0
            record = Record.read(self._record(service))
            try:
                if record is None or not self._find(service, record):
                    record = self._launch(service, record, keep_ports, anew=bool(failures))
                self._wait_until_ready(service, record, patience)
            except (ServerDied, NotReady) as error:
                processes.kill(service, service.home(self.folder))
                failures.append(str(error))
                kind = type(error)
            else:
                return
        tail = self._tail(service, log_start)
        tries = "\n".join(f"Try {number}: {text}" for number, text in enumerate(failures, 1))
        raise kind(f"{service.title} could not be started.\n{tries}\n{tail}")

    def _launch(
        self, service: Service, record: Record | None, keep_ports: bool, *, anew: bool
    ) -> Record:
        home, log = service.home(self.folder), self._log(service)
        # What a killed parent or a killed command left would hold the port or the data.
        processes.kill(service, home)
        if record is None:
            record = Record(ports=service.choose_ports(), password=secrets.token_urlsafe(24))
        _remove_leftovers(service, record)
        if not keep_ports and (anew or not service.can_use(record.ports)):
            record = replace(record, ports=service.choose_ports())
        record = replace(record, pid=None, born=None)
        record.write(self._record(service))
        service.prepare(home, record, log)
        pid, born = processes.spawn(service, service.command(home, record), home, log)
        record = replace(record, pid=pid, born=born)
        record.write(self._record(service))
        return record

    def _wait_until_ready(self, service: Service, record: Record, patience: float) -> None:
        deadline = time.monotonic() + patience
        home = service.home(self.folder)
        while True:
            if not self._find(service, record):
                raise ServerDied(f"{service.title} ended while it started on port {record.port}.")
            try:
                service.probe(record)
            except OSError as error:
                reason = error
            else:
                if processes.listens(service, home, record.port):
                    return
                reason = OSError(f"another program answers on port {record.port}")
            if time.monotonic() > deadline:
                raise NotReady(
                    f"{service.title} ran on port {record.port} but was not ready after "
                    f"{patience:g} s: {reason}."
                )
            time.sleep(_PROBE_SECONDS)

    def _stop(self, service: Service, number: signal.Signals | None = None) -> None:
        path = self._record(service)
        record = Record.read(path)
        home = service.home(self.folder)
        processes.stop(service, home, record, number or service.stop_signal)
        if record:
            _remove_leftovers(service, record)
        if record and record.pid is not None:
            replace(record, pid=None, born=None).write(path)

    def _discard(self, service: Service) -> None:
        self._stop(service, service.discard_signal)
        shutil.rmtree(service.home(self.folder), ignore_errors=True)
        self._record(service).unlink(missing_ok=True)
        self._log(service).unlink(missing_ok=True)

    # Files and names

    def _record(self, service: Service) -> Path:
        return self.folder / f"{service.name}.json"

    def _log(self, service: Service) -> Path:
        return self.folder / f"{service.name}.log"

    def _find(self, service: Service, record: Record) -> bool:
        return processes.find(service, service.home(self.folder), record) is not None

    def _tail(self, service: Service, start: int) -> str:
        log = self._log(service)
        if not log.exists():
            return "It wrote no log."
        with log.open("rb") as file:
            file.seek(start)
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join([f"The end of {log}:", *lines[-_LOG_LINES:]])

    def _choose(self, names: Sequence[str]) -> list[Service]:
        for name in names:
            if name not in self.services:
                known = ", ".join(self.services)
                raise DevServiceError(f"There is no service {name!r}. There are: {known}.")
        return [self.services[name] for name in dict.fromkeys(names or self.services)]

    def _external(self, service: Service) -> str | None:
        return self._environment.get(service.variable) or None

    def _own(self, name: str) -> Service:
        (service,) = self._choose([name])
        if self._external(service):
            raise DevServiceError(
                f"{name} is external ({service.variable} is set): it is not ours to end."
            )
        return service

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            make_folder(self.folder)
            handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise foreign(self.folder, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _at_once(self, action: Callable[[Service], None], services: Sequence[Service]) -> None:
        """Run one action for all services in parallel; tell all errors, not just the first."""
        if not services:
            return
        with ThreadPoolExecutor(len(services), thread_name_prefix="devservices") as threads:
            runs = [threads.submit(action, each) for each in services]
        errors = [error for run in runs if (error := run.exception())]
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise DevServiceError("\n".join(str(error) for error in errors)) from errors[0]


def _import_probes(services: Sequence[Service]) -> None:
    """Import what the probes need, one after the other.

    The servers start in parallel, and so would the imports of their drivers: which import some
    modules of the same third library, each half of it when they meet there.
    """
    for service in services:
        for module in service.probe_modules:
            try:
                importlib.import_module(module)
            except ModuleNotFoundError as error:
                package = module.partition(".")[0]
                raise MissingWheel(f"The probe of {service.title}", package) from error


def _remove_leftovers(service: Service, record: Record) -> None:
    for path in service.leftovers(record.ports):
        try:
            path.unlink(missing_ok=True)
        except PermissionError:
            pass  # another user's: these ports are not for us any more


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None
