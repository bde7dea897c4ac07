"""The spans of acquires that queue, and of connects."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from poolapp import PoolTimeout, Registry
from poolapp.monitoring.tracing import Spans
from tests.fake import FakeServer, config_of


class Traced:
    """A registry with the pool ``held`` of one connection, and the spans that were made."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer: Tracer = provider.get_tracer("tests")
        self.pools = Registry()
        self.pools.observe(Spans(self.tracer))
        self.server = FakeServer()
        self.pools.register("held", config_of("held", server=self.server, max_size=1))

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    async def request(self, name: str, timeout: float | None = None) -> None:
        """A request with a span of its own."""
        with self.tracer.start_as_current_span(name):
            async with self.pools["held"].acquire(timeout=timeout):
                pass


@pytest.fixture
def traced() -> Iterator[Traced]:
    yield (found := Traced())
    found.pools.run(found.pools.close_all)


def seconds(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


async def test_an_acquire_that_queues_has_a_span_as_long_as_its_wait(traced: Traced) -> None:
    pool = traced.pools["held"]
    lease = await pool.acquire()
    traced.exporter.clear()
    waiting = asyncio.create_task(traced.request("shop"))
    await asyncio.sleep(0.03)
    lease.release()
    await waiting
    (span,) = traced.spans("acquire held")
    (request,) = traced.spans("shop")
    assert parent_of(span) == request.context.span_id
    assert span.attributes == {"db.client.connection.pool.name": "held"}
    assert 0.02 < seconds(span) == pytest.approx(pool.counters.waited.total, abs=0.015)
    assert seconds(span) < seconds(request)
    assert span.status.status_code is StatusCode.UNSET
    await traced.pools.close_all()


async def test_an_acquire_that_does_not_queue_has_none(traced: Traced) -> None:
    await traced.request("first")
    traced.exporter.clear()
    await traced.request("second")
    assert [span.name for span in traced.exporter.get_finished_spans()] == ["second"]
    await traced.pools.close_all()


async def test_a_timeout_is_an_error_within_the_request_that_waited(traced: Traced) -> None:
    """Also of one whose time ends while that of others is looked at."""
    lease = await traced.pools["held"].acquire()
    traced.exporter.clear()
    with pytest.RaisesGroup(PoolTimeout, PoolTimeout):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_until_it_fails(traced, "a"))
            tasks.create_task(_until_it_fails(traced, "b"))
    spans, requests = traced.spans("acquire held"), traced.spans("a") + traced.spans("b")
    assert len(spans) == 2
    assert {parent_of(span) for span in spans} == {each.context.span_id for each in requests}
    for span in spans:
        assert span.status.status_code is StatusCode.ERROR
        assert "gave no connection within" in (span.status.description or "")
        assert (span.attributes or {})["error.type"] == "PoolTimeout"
        assert seconds(span) > 0
    lease.release()
    await traced.pools.close_all()


async def _until_it_fails(traced: Traced, name: str) -> None:
    try:
        await traced.request(name, timeout=0.02)
    except PoolTimeout:
        # Raised once both have ended: a group cancels the others at the first error.
        while len(traced.spans("acquire held")) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        raise


async def test_a_cancelled_wait_is_told(traced: Traced) -> None:
    lease = await traced.pools["held"].acquire()
    traced.exporter.clear()
    waiting = asyncio.create_task(traced.request("gone"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    (span,) = traced.spans("acquire held")
    assert (span.attributes or {})["error.type"] == "CancelledError"
    assert parent_of(span) == traced.spans("gone")[0].context.span_id
    lease.release()
    await traced.pools.close_all()


async def test_a_connect_is_a_trace_of_its_own(traced: Traced) -> None:
    """Whoever waits first gets the connection, not who made the pool open it."""
    traced.server.create.slow(seconds=0.02)
    await traced.request("first")
    (connect,) = traced.spans("connect held")
    (acquire,) = traced.spans("acquire held")
    assert connect.parent is None
    assert connect.kind is SpanKind.CLIENT
    assert 0.015 < seconds(connect) <= seconds(acquire) + 0.015
    await traced.pools.close_all()


PROGRAM = """
from django.conf import settings
settings.configure(INSTALLED_APPS=["poolapp"], POOLAPP={own})
import django; django.setup()
from poolapp import pools
print([type(each).__name__ for each in pools.events.observers].count("Spans"))
"""


@pytest.mark.parametrize(("own", "count"), [({"TRACE": True}, 1), ({"TRACE": False}, 0), ({}, 0)])
def test_spans_are_made_on_request(own: dict[str, bool], count: int) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(own=own)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout.strip()) == (0, str(count)), result.stderr
