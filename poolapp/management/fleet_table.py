"""The fleet in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from poolapp.management.lines import Line, table
from poolapp.monitoring.fleet import FleetPicture
from poolapp.monitoring.picture import AliasPicture, ProcessPicture
from poolapp.monitoring.words import counted, duration

_HEAD = (
    "ALIAS", "WORKER", "SERVER", "STATUS", "IN USE", "IDLE", "WAITING", "WAIT P95", "TIMEOUTS",
    "LOST",
)  # fmt: skip
_RIGHT = {4, 5, 6, 7, 8, 9}


def fleet_lines(fleet: FleetPicture) -> Iterator[Line]:
    """A row for each alias of each worker, the worst first; then what is wrong, how much the
    servers let in, and what could be set otherwise."""
    rows = [(alias, process) for process in fleet.processes for alias in process.aliases]
    rows.sort(key=lambda row: row[0].urgency, reverse=True)
    workers = counted(len(fleet.processes), "worker", "workers")
    hosts = counted(len({each.host for each in fleet.processes}), "host", "hosts")
    yield Line(f"{workers} on {hosts}")
    yield Line("")
    if rows:
        yield from table(
            [(_HEAD, "head"), *((_cells(*row), row[0].health.status) for row in rows)], _RIGHT
        )
    troubled = [row for row in rows if row[0].health.reasons]
    if troubled or fleet.limits:
        yield Line("")
    for alias, process in troubled:
        reasons = " ".join(alias.health.reasons)
        error = f" {alias.health.error}" if alias.health.error else ""
        yield Line(f"{alias.alias} on {_name(process)} is {alias.health.status}: {reasons}{error}")
    for limit in fleet.limits:
        style = "degraded" if limit.exceeded else ""
        yield Line(f"{', '.join(limit.aliases)}: {limit.sentence}", style)
    advised = [row for row in rows if row[0].advice]
    if advised:
        yield Line("")
    for alias, process in advised:
        for sentence in alias.advice:
            yield Line(f"{alias.alias} on {_name(process)}: {sentence}")


def _name(process: ProcessPicture) -> str:
    return f"{process.host}:{process.pid}"


def _cells(alias: AliasPicture, process: ProcessPicture) -> tuple[str, ...]:
    return (
        alias.alias,
        _name(process),
        process.server,
        alias.health.status,
        f"{alias.in_use}/{alias.max_size}",
        str(alias.idle),
        str(alias.waiting),
        duration(alias.wait_p95),
        str(alias.timed_out),
        str(alias.lost),
    )
