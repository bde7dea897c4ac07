"""Sends the pools' events as Django signals."""

from __future__ import annotations

import logging
from typing import Any

from django.dispatch import Signal

from poolapp import signals
from poolapp.core.events import Observer
from poolapp.core.lease import Lease
from poolapp.core.pool import Pool

logger = logging.getLogger("poolapp.signals")


def _send(signal: Signal, pool: Pool[Any], **details: object) -> None:
    if not signal.receivers:
        return
    answers = signal.send_robust(sender=type(pool.backend), alias=pool.alias, pool=pool, **details)
    for receiver, answer in answers:
        if isinstance(answer, Exception):
            logger.error(
                "A receiver of a pool's signal failed: %r",
                receiver,
                exc_info=answer,
                extra={"alias": pool.alias, "event": "receiver_failed"},
            )


class SignalBridge(Observer):
    """Leaves ``acquired`` and ``released`` alone: those are the hot path."""

    def pool_opened(self, pool: Pool[Any]) -> None:
        _send(signals.pool_opened, pool)

    def pool_closed(self, pool: Pool[Any]) -> None:
        _send(signals.pool_closed, pool)

    def connected(self, pool: Pool[Any], seconds: float) -> None:
        _send(signals.connection_opened, pool, seconds=seconds)

    def closed(self, pool: Pool[Any], reason: str) -> None:
        _send(signals.connection_closed, pool, reason=reason)

    def lost(self, pool: Pool[Any], in_use: bool) -> None:
        _send(signals.connection_lost, pool, in_use=in_use)

    def connect_failed(self, pool: Pool[Any], error: str) -> None:
        _send(signals.connect_failed, pool, error=error)

    def timed_out(self, pool: Pool[Any], waited: float) -> None:
        _send(signals.acquire_timed_out, pool, waited=waited)

    def refused(self, pool: Pool[Any], reason: str) -> None:
        _send(signals.acquire_refused, pool, reason=reason)

    def nested(self, pool: Pool[Any], lease: Lease[Any], outer: Lease[Any]) -> None:
        _send(signals.acquire_nested, pool, lease=lease, outer=outer)

    def leaked(self, pool: Pool[Any], lease: Lease[Any], held: float) -> None:
        _send(signals.lease_leaked, pool, lease=lease, held=held)

    def returned(self, pool: Pool[Any], lease: Lease[Any], held: float) -> None:
        _send(signals.lease_returned, pool, lease=lease, held=held)

    def aborted(self, pool: Pool[Any], leases: list[Lease[Any]]) -> None:
        _send(signals.leases_aborted, pool, leases=leases)

    def breaker_opened(self, pool: Pool[Any], failures: int) -> None:
        _send(signals.breaker_opened, pool, failures=failures)

    def breaker_closed(self, pool: Pool[Any]) -> None:
        _send(signals.breaker_closed, pool)

    def drained(self, pool: Pool[Any]) -> None:
        _send(signals.pool_drained, pool)

    def was_reset(self, pool: Pool[Any], evicted: int) -> None:
        _send(signals.pool_reset, pool, evicted=evicted)

    def paused(self, pool: Pool[Any]) -> None:
        _send(signals.pool_paused, pool)

    def resumed(self, pool: Pool[Any]) -> None:
        _send(signals.pool_resumed, pool)

    def resized(self, pool: Pool[Any], min_size: int, max_size: int) -> None:
        _send(signals.pool_resized, pool, min_size=min_size, max_size=max_size)
