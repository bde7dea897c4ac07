"""Heavy work as a job of whatever queue a project has. Celery looks for this module by its name;
RQ and Django's own tasks are given the function.

Each takes the text that ``poolapp.reindexing.order_of`` makes, and returns the last Progress as a
dictionary.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from poolapp.core.registry import pools
from poolapp.reindexing import Progress, reindex
from poolapp.reindexing.order import read_order
from poolapp.reindexing.writing import progress_of

Report = Callable[[dict[str, Any]], object]


def _run(order: str, report: Report) -> dict[str, Any]:
    """On the process's own pool loop, whose connections stay open from job to job."""
    return pools.run(_reindex, order, report)


async def _reindex(order: str, report: Report) -> dict[str, Any]:
    rows, into = read_order(order)
    total = 0

    async def tell(progress: Progress) -> None:
        nonlocal total
        total = progress.total
        # A queue is told by a driver that blocks.
        await asyncio.to_thread(report, progress.as_dict())

    result = await reindex(rows, into, progress=tell)
    return progress_of(result, total, result.duration).as_dict()


def reindex_with_rq(order: str) -> dict[str, Any]:
    """``queue.enqueue(reindex_with_rq, order)``. The progress is the job's ``meta["progress"]``."""
    from rq import get_current_job

    job = get_current_job()

    def report(progress: dict[str, Any]) -> None:
        if job is not None:
            job.meta["progress"] = progress
            job.save_meta()  # type: ignore[no-untyped-call]

    return _run(order, report)


try:
    from celery import shared_task
except ImportError:
    pass
else:

    @shared_task(bind=True, name="poolapp.reindex")  # type: ignore[untyped-decorator]
    def reindex_with_celery(self: Any, order: str) -> dict[str, Any]:
        """``reindex_with_celery.delay(order)``. The progress is the result's ``info`` while its
        state is ``PROGRESS``."""
        task_id = self.request.id

        def report(progress: dict[str, Any]) -> None:
            if task_id is not None:  # None: it was called as a function
                self.update_state(task_id=task_id, state="PROGRESS", meta=progress)

        return _run(order, report)


try:
    from django.tasks import task
except ImportError:  # before Django 6.0
    pass
else:

    @task()
    def reindex_with_django(order: str) -> dict[str, Any]:
        """``reindex_with_django.enqueue(order)``. Django's tasks carry no progress."""
        return _run(order, lambda progress: None)
