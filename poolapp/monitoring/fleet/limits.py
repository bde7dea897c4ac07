"""What the servers let in, and what the fleet may open there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from poolapp.core.config import PoolConfig
from poolapp.core.exceptions import ConfigurationError
from poolapp.core.registry import Registry
from poolapp.monitoring.fleet.division import Division
from poolapp.monitoring.fleet.link import detached
from poolapp.monitoring.fleet.shapes import ServerLimit
from poolapp.monitoring.picture import ProcessPicture
from poolapp.monitoring.probe import probe


def limit_of(server: Mapping[str, Any]) -> int | None:
    """Of what ``server_info`` tells: PostgreSQL's ``max_connections`` without those that it keeps
    for administrators, or ``max_clients`` of a Redis."""
    if "max_connections" in server:
        reserved = ("superuser_reserved_connections", "reserved_connections")
        return int(server["max_connections"]) - sum(int(server.get(name, 0)) for name in reserved)
    found = server.get("max_clients")
    return None if found is None else int(found)


class Limits:
    """The numbers of each alias that tells one: asked by one process of the fleet, known to all."""

    def __init__(self, registry: Registry, division: Division) -> None:
        self._registry = registry
        self._division = division
        self.known: dict[str, int] = {}

    async def ask(self) -> None:
        """Ask every server, on a connection beside its pool. What does not answer keeps the number
        that it had."""
        aliases = list(self._registry)
        found = await asyncio.gather(*map(self._ask, aliases))
        for alias, limit in zip(aliases, found, strict=True):
            if limit is not None:
                self.known[alias] = limit

    async def _ask(self, alias: str) -> int | None:
        config = self._registry.config(alias)
        if config.health_interval is None:
            return None  # nobody wants probes
        try:
            pool = detached(config.replace(min_size=0))
        except (ConfigurationError, ImportError):
            return None
        try:
            return limit_of((await probe(pool, ask_server=True)).server)
        finally:
            await pool.close(timeout=0.0)

    def text(self) -> str:
        """For the other processes."""
        return json.dumps(self.known)

    def take_over(self, text: str) -> None:
        """What another process found."""
        if text:
            self.known = {str(alias): int(limit) for alias, limit in json.loads(text).items()}

    def against(
        self, workers: int, processes: Sequence[ProcessPicture] | None = None
    ) -> list[ServerLimit]:
        """For each server that tells its limit what so many workers may open there, and, given
        their pictures, what they have."""
        servers: dict[Hashable, list[PoolConfig]] = {}
        for alias in self.known:
            if alias in self._registry:
                config = self._registry.config(alias)
                servers.setdefault(_server(config), []).append(config)
        return [
            ServerLimit(
                aliases=(aliases := tuple(each.alias for each in configs)),
                workers=workers,
                possible=sum(self._possible(each, workers) for each in configs),
                limit=min(self.known[alias] for alias in aliases),
                open=None if processes is None else _open(processes, aliases),
            )
            for configs in servers.values()
        ]

    def _possible(self, config: PoolConfig, workers: int) -> int:
        _, high = self._division.wish(config)
        possible = workers * high
        # A worker's share is never less than one.
        return min(possible, max(config.fleet_max or possible, workers))


def _server(config: PoolConfig) -> Hashable:
    """Alike for aliases of one server."""
    places = tuple(location.address for location in config.where())
    return (config.backend, places) if any(places) else config.alias


def _open(processes: Iterable[ProcessPicture], aliases: Sequence[str]) -> int:
    return sum(
        loop.stats.size if loop.stats.sockets is None else loop.stats.sockets.open
        for process in processes
        for alias in process.aliases
        for loop in alias.loops
        if alias.alias in aliases
    )
