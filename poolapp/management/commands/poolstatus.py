"""``manage.py poolstatus``: the configuration, and on request a probe of every server."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import socket
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from poolapp import conf
from poolapp.conf.wrong import nearest
from poolapp.core.config import PoolConfig
from poolapp.core.registry import pools
from poolapp.core.stats import PoolStats
from poolapp.monitoring.probe import Probe, probe
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
    help = "Show the configuration of the pools, and probe their servers."
    # A fault of POOLS is told below, with an exit code of its own.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("alias", nargs="?", help="Only this one of POOLS.")
        parser.add_argument("--format", choices=("table", "json"), default="table")
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

    def handle(self, *args: Any, **options: Any) -> None:
        configs = _chosen(options["alias"])
        # The libraries warn of what they can't reach; it is told here, once.
        logging.disable(logging.WARNING)
        try:
            rows = asyncio.run(_ask(configs, probing=options["probe"]))
        finally:
            logging.disable(logging.NOTSET)
        if options["format"] == "json":
            self.stdout.write(_as_json(rows, with_config=options["config"]))
        else:
            self._write_table(rows, probing=options["probe"], with_config=options["config"])
        if any(row.status == "unhealthy" for row in rows):
            sys.exit(UNHEALTHY)

    def _write_table(self, rows: Sequence[Row], *, probing: bool, with_config: bool) -> None:
        if not probing:
            self.stdout.write(textwrap.fill(f"{NOTE} {ADVICE}", 79) + "\n\n")
        if not rows:
            self.stdout.write("POOLS declares no pool.")
        elif with_config:
            for row in rows:
                self.stdout.write("\n".join(_config_lines(row.config.alias)) + "\n\n")
        if rows and (probing or not with_config):
            for number, line in enumerate(_table(rows, probing=probing)):
                style = self.style.MIGRATE_LABEL if number == 0 else self._style(rows[number - 1])
                self.stdout.write(line, style)
        troubled = [row for row in rows if row.trouble]
        if troubled:
            self.stdout.write("")
        for row in troubled:
            self.stdout.write(f"{row.config.alias} is {row.status}: {row.trouble}")

    def _style(self, row: Row) -> Any:
        if row.status == "unhealthy":
            return self.style.ERROR
        return self.style.WARNING if row.status == "degraded" else str


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


def _table(rows: Sequence[Row], *, probing: bool) -> Iterator[str]:
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
        right = {2, 3}
    else:
        cells = [("ALIAS", "BACKEND", "SIZE", "ACQUIRE", "SERVER")]
        for row in rows:
            config = row.config
            backend = config.backend.rpartition(".")[2].removesuffix("Backend")
            size = f"{config.min_size}-{config.max_size}"
            timeout = duration(config.acquire_timeout)
            cells.append((config.alias, backend, size, timeout, row.server))
        right = {2, 3}
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = [
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield "  ".join(padded).rstrip()


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
