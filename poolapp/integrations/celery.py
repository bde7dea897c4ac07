"""Celery's worker processes: they start without pools, because they are forked, and end by
``os._exit``, which calls nothing. Celery's own signals tell of that end, and which task runs."""

from __future__ import annotations

from typing import Any

from celery.signals import task_postrun, task_prerun, worker_process_shutdown, worker_shutdown

from poolapp.core.registry import Registry
from poolapp.core.work import WORK, Work

_UID = "poolapp.integrations.celery"


def connect(registry: Registry) -> None:
    def close(**details: Any) -> None:
        registry.close_at_exit()

    for signal in (worker_process_shutdown, worker_shutdown):
        signal.connect(close, weak=False, dispatch_uid=_UID)
    task_prerun.connect(_begin, dispatch_uid=_UID)
    task_postrun.connect(_end, dispatch_uid=_UID)


def _begin(task: Any, **details: Any) -> None:
    WORK.set(Work("task", task.name))


def _end(**details: Any) -> None:
    WORK.set(None)
