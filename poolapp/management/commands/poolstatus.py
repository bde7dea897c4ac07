"""``manage.py poolstatus``: the configuration, on request a probe of every server, or the pools of
all worker processes."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import socket
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from poolapp import conf
from poolapp.conf.wrong import nearest
from poolapp.core.config import PoolConfig
from poolapp.core.registry import pools
from poolapp.core.stats import PoolStats
from poolapp.management.fleet_table import fleet_lines
from poolapp.management.lines import Line, table
from poolapp.management.watching import watch
from poolapp.monitoring import fleet as fleets
from poolapp.monitoring.fleet import FleetPicture
from poolapp.monitoring.fleet.place import place
from poolapp.monitoring.probe import Probe, probe
from poolapp.monitoring.process import this_process
from poolapp.monitoring.words import duration

NOTE = (
    "This command is its own process: the pools of your servers are theirs, and it has none of "
    "its own. So it shows the configuration."
)
ADVICE = "Add --probe to open one connection to each server."

UNHEALTHY = 1
USAGE = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """What is told of one alias."""

    config: PoolConfig
    stats: PoolStats
    probe: Probe | None

    @property
    def status(self) -> str:
        return self.probe.status if self.probe else "not probed"

    @property
    def trouble(self) -> str:
        """For operators: may name the server; without secrets."""
        return (self.probe.error or self.probe.message) if self.probe else ""

    @property
    def server(self) -> str:
        """The addresses, shorter than the URLs."""
        places = []
        for location in self.config.where():
            address = location.address or location.query.get("host", "")
            places.append(address + location.path or location.scheme)
        return ", ".join(places) or repr(self.config.locations)


class Command(BaseCommand):
    help = "Show the pools: their configuration, their servers, or those of all workers."
    # A fault of POOLS is told below, with an exit code of its own.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("alias", nargs="?", help="Only this one of POOLS.")
        parser.add_argument("--format", choices=("table", "json", "prometheus"), default="table")
        parser.add_argument(
            "--probe",
            action="store_true",
            help="Open one connection for each alias, beside any pool, and ask the server.",
        )
        parser.add_argument(
            "--config",
            action="store_true",
            help="Show each setting in force and where it comes from; secrets are hidden.",
        )

        parser.add_argument(
            "--fleet",
            action="store_true",
            help="Show the pools of all worker processes of all hosts.",
        )
        parser.add_argument(
            "--watch",
            type=_interval,
            metavar="SECONDS",
            help="Look again every so many seconds, and redraw in place, until Ctrl-C.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        configs = _chosen(options["alias"])
        if options["format"] == "prometheus":
            _insist_on_prometheus(options)
        if options["fleet"]:
            _insist_on_a_fleet(options)
        last: list[Look] = []

        def look() -> Sequence[Line]:
            last[:] = [_look_at_fleet(options) if options["fleet"] else _look(configs, options)]
            return last[0].lines

        if options["watch"] is None:
            self._write(look())
        else:
            self._write(watch(look, options["watch"]))
        if any(each.unhealthy for each in last):
            sys.exit(UNHEALTHY)

    def _write(self, lines: Sequence[Line]) -> None:
        styles = {
            "head": self.style.MIGRATE_LABEL,
            "degraded": self.style.WARNING,
            "unhealthy": self.style.ERROR,
        }
        for line in lines:
            self.stdout.write(line.text, styles.get(line.style, str))


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """What one look has found."""

    lines: Sequence[Line]
    unhealthy: bool


def _interval(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 86400:
        raise ValueError
    return seconds


def _look(configs: Sequence[PoolConfig], options: Mapping[str, Any]) -> Look:
    probing, with_config = options["probe"], options["config"]
    # The libraries warn of what they can't reach; it is told here, once.
    logging.disable(logging.WARNING)
    try:
        rows = asyncio.run(_ask(configs, probing=probing))
    finally:
        logging.disable(logging.NOTSET)
    if options["format"] == "json":
        lines = [Line(_as_json(rows, with_config=with_config))]
    elif options["format"] == "prometheus":
        lines = [Line(_as_metrics(rows))]
    else:
        lines = list(_lines(rows, probing=probing, with_config=with_config))
    return Look(lines, any(row.status == "unhealthy" for row in rows))


def _lines(rows: Sequence[Row], *, probing: bool, with_config: bool) -> Iterator[Line]:
    if not probing:
        yield from map(Line, textwrap.wrap(f"{NOTE} {ADVICE}", 79))
        yield Line("")
    if not rows:
        yield Line("POOLS declares no pool.")
    elif with_config:
        for row in rows:
            yield from map(Line, _config_lines(row.config.alias))
            yield Line("")
    if rows and (probing or not with_config):
        yield from _table(rows, probing=probing)
    troubled = [row for row in rows if row.trouble]
    if troubled:
        yield Line("")
    for row in troubled:
        yield Line(f"{row.config.alias} is {row.status}: {row.trouble}")


# -- for Prometheus --------------------------------------------------------------------------------


def _insist_on_prometheus(options: Mapping[str, Any]) -> None:
    if options["config"] or options["watch"] is not None:
        raise CommandError(
            "--format prometheus writes numbers once: it goes with --probe or --fleet.",
            returncode=USAGE,
        )
    if find_spec("prometheus_client") is None:
        raise CommandError(
            "--format prometheus needs prometheus_client: "
            "pip install 'django-poolapp[prometheus]'.",
            returncode=USAGE,
        )


def _as_metrics(rows: Sequence[Row]) -> str:
    from poolapp.management.exposition import Told, exposition

    return exposition(
        Told(
            alias=row.config.alias,
            backend=row.config.backend,
            max_size=row.config.max_size,
            status=row.probe.status if row.probe else None,
            stats=[row.stats],
        )
        for row in rows
    ).rstrip()


def _fleet_as_metrics(fleet: FleetPicture) -> str:
    from poolapp.management.exposition import Told, exposition

    if fleet.notice:
        raise CommandError(fleet.notice, returncode=UNHEALTHY)
    return exposition(
        Told(
            alias=each.alias,
            backend=each.backend,
            max_size=each.max_size,
            status=each.health.status,
            stats=[loop.stats for loop in each.loops],
        )
        for process in fleet.processes
        for each in process.aliases
    ).rstrip()


# -- the fleet -------------------------------------------------------------------------------------


def _insist_on_a_fleet(options: Mapping[str, Any]) -> None:
    if options["probe"] or options["config"]:
        raise CommandError(
            "--fleet shows what the worker processes tell of themselves; --probe and --config are "
            "about this process.",
            returncode=USAGE,
        )
    if place() is None:
        raise CommandError(
            "No fleet is configured. Name a Redis of POOLS for the processes to meet at: "
            "POOLAPP = {'FLEET': 'cache'}.",
            returncode=USAGE,
        )


def _look_at_fleet(options: Mapping[str, Any]) -> Look:
    # What goes wrong is told here.
    logging.disable(logging.WARNING)
    try:
        fleet = _without_this(pools.run(fleets.read), options["alias"])
    finally:
        logging.disable(logging.NOTSET)
    if options["format"] == "json":
        indent = 2 if options["watch"] is None else None
        lines = [Line(json.dumps(fleet.as_dict(), indent=indent))]
    elif options["format"] == "prometheus":
        lines = [Line(_fleet_as_metrics(fleet))]
    elif fleet.notice:
        lines = [Line(fleet.notice, "unhealthy")]
    elif not fleet.processes:
        lines = [Line("No worker process has pools now.")]
    else:
        lines = list(fleet_lines(fleet))
    return Look(lines, bool(fleet.notice) or fleet.status == "unhealthy")


def _without_this(fleet: FleetPicture, alias: str | None) -> FleetPicture:
    """This command has no pools that anybody asks for."""
    here = this_process().worker
    processes = [
        dataclasses.replace(each, aliases=[it for it in each.aliases if alias in (None, it.alias)])
        for each in fleet.processes
        if each.worker != here
    ]
    limits = [each for each in fleet.limits if alias is None or alias in each.aliases]
    notice = fleet.notice.removeprefix("Only this process is shown: ")
    notice = notice[:1].upper() + notice[1:]
    return dataclasses.replace(fleet, processes=processes, limits=limits, notice=notice)


# -- this project's servers ------------------------------------------------------------------------


def _chosen(alias: str | None) -> list[PoolConfig]:
    """The configurations that are asked for; raises CommandError, one paragraph for a fault."""
    declared = conf.declaration()
    known = sorted({*pools, *pools.faults})
    if alias is not None and alias not in known:
        hint = nearest(alias, known).replace("The keys are", "POOLS has") if known else ""
        raise CommandError(f"There is no pool {alias!r}. {hint}".strip(), returncode=USAGE)
    faults = [each for each in declared.faults if alias is None or each.alias in (alias, "")]
    configs = [pools.config(each) for each in known if each in pools and alias in (None, each)]
    for config in configs:
        if config.alias in declared.configs:
            faults += conf.verify(config, declared)
    if faults:
        raise CommandError("\n\n".join(map(str, faults)), returncode=USAGE)
    return configs


async def _ask(configs: Sequence[PoolConfig], *, probing: bool) -> list[Row]:
    async def ask(config: PoolConfig) -> Row:
        pool = pools[config.alias]
        found = await probe(pool, ask_server=True) if probing else None
        return Row(pool.config, pool.stats(), found)

    try:
        return list(await asyncio.gather(*map(ask, configs)))
    finally:
        await pools.close_all()


def _table(rows: Sequence[Row], *, probing: bool) -> Iterator[Line]:
    """Aligned lines, the heads first."""
    if probing:
        cells = [("ALIAS", "STATUS", "CONNECT", "ANSWER", "SERVER")]
        for row in rows:
            assert row.probe is not None
            version = row.probe.server.get("version")
            server = f"{row.server}, version {version}" if version else row.server
            connect, answer = row.probe.connect_seconds, row.probe.check_seconds
            cells.append(
                (row.config.alias, row.status, duration(connect), duration(answer), server)
            )
    else:
        cells = [("ALIAS", "BACKEND", "SIZE", "ACQUIRE", "SERVER")]
        for row in rows:
            config = row.config
            backend = config.backend.rpartition(".")[2].removesuffix("Backend")
            size = f"{config.min_size}-{config.max_size}"
            timeout = duration(config.acquire_timeout)
            cells.append((config.alias, backend, size, timeout, row.server))
    styles = ["head", *(row.status for row in rows)]
    return table(list(zip(cells, styles, strict=True)), {2, 3})


def _config_lines(alias: str) -> Iterator[str]:
    found = conf.effective_settings(alias)
    keys = max(len(each.key) for each in found)
    sources = max(len(each.source) for each in found)
    yield alias
    for each in found:
        # A value may be long, so it stands last.
        yield f"  {each.key.ljust(keys)}  {each.source.ljust(sources)}  {each.text}"


def _as_json(rows: Sequence[Row], *, with_config: bool) -> str:
    found = []
    for row in rows:
        shown: dict[str, Any] = {
            "alias": row.config.alias,
            "backend": row.config.backend,
            "status": row.status,
            "message": row.trouble,
            "probe": row.probe.as_dict() if row.probe else None,
            "stats": row.stats.as_dict(),
            "psycopg": row.stats.as_psycopg(),
        }
        if with_config:
            shown["config"] = {
                each.key: {"value": each.text, "source": each.source}
                for each in conf.effective_settings(row.config.alias)
            }
        found.append(shown)
    process = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": "poolstatus",
        "note": NOTE,
    }
    return json.dumps({"process": process, "pools": found}, indent=2, default=str)
