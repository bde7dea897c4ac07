"""Celery's worker processes: they start without pools, because they are forked, and end by
``os._exit``, which calls nothing. Celery's own signal tells of that end."""

from __future__ import annotations

from typing import Any

from celery.signals import worker_process_shutdown, worker_shutdown

from poolapp.core.registry import Registry


def connect(registry: Registry) -> None:
    def close(**details: Any) -> None:
        registry.close_at_exit()

    for signal in (worker_process_shutdown, worker_shutdown):
        signal.connect(close, weak=False, dispatch_uid="poolapp.integrations.celery")
