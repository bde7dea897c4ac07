"""Spans of OpenTelemetry for what costs a request time: ``POOLAPP = {"TRACE": True}``."""

from __future__ import annotations

import time
from typing import Any

from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, get_tracer

from poolapp.core.events import Observer
from poolapp.core.lease import Lease
from poolapp.core.pool import Pool


class Spans(Observer):
    """``acquire <alias>`` for each acquire that had to queue, within the span of the code that
    acquired; ``connect <alias>`` for each connect. They are made when they have ended.

    A connect is a trace of its own: whoever waits first gets the connection, and that need not be
    who made the pool open it. So does the pool itself: its steps run in an empty context.
    """

    def __init__(self, tracer: Tracer | None = None) -> None:
        self._tracer = tracer or get_tracer("poolapp")

    def acquired(self, pool: Pool[Any], lease: Lease[Any], waited: float) -> None:
        if waited:
            self._tell("acquire", pool, waited)

    def gave_up(self, pool: Pool[Any], waited: float, error: Exception) -> None:
        self._tell("acquire", pool, waited, type(error).__name__, str(error))

    def cancelled(self, pool: Pool[Any], waited: float) -> None:
        self._tell("acquire", pool, waited, "CancelledError", "It was cancelled.")

    def connected(self, pool: Pool[Any], seconds: float) -> None:
        self._tell("connect", pool, seconds)

    def _tell(
        self, verb: str, pool: Pool[Any], seconds: float, error: str = "", message: str = ""
    ) -> None:
        now = time.time_ns()
        span = self._tracer.start_span(
            f"{verb} {pool.alias}",
            kind=SpanKind.CLIENT if verb == "connect" else SpanKind.INTERNAL,
            attributes={"db.client.connection.pool.name": pool.alias},
            start_time=now - int(seconds * 1e9),
        )
        if error:
            span.set_attribute("error.type", error)
            span.set_status(Status(StatusCode.ERROR, message))
        span.end(now)


spans = Spans()
"""The process's own."""
