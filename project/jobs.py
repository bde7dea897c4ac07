"""Reindexing as Celery's workers do it: to order one, and to see how far it is.

All of it blocks, so it is for threads, such as those of synchronous views. Celery is loaded by
who imports this: not by every command that loads the admin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from celery import states
from django.utils import timezone
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from poolapp.reindexing import order_of
from poolapp.tasks import reindex_with_celery
from project.celery import app
from project.models import Entry
from project.stores import unavailable

type_of_state = Literal[
    "waiting", "idle", "running", "lost", "unavailable", "done", "failed", "forgotten"
]

PATIENCE: Final = timedelta(seconds=1)
"""An order that waits for longer makes us ask whether there is any worker."""

ANSWER_TIMEOUT: Final = 2.0
"""Seconds that workers have to answer."""

KEPT: Final = timedelta(days=1)
"""For how long Celery keeps results: its `result_expires`."""

START_WORKER: Final = "celery --app project worker"
START_QUEUE: Final = "manage.py devservices up redis"


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """How far a reindexing is. `progress` is a Progress as a dictionary, empty before the first."""

    state: type_of_state
    headline: str
    advice: str = ""
    command: str = ""
    progress: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether it will never change."""
        return self.state in {"done", "failed", "forgotten"}

    @property
    def may_be_repeated(self) -> bool:
        return self.is_over or self.state == "lost"

    @property
    def fraction(self) -> float | None:
        """From 0 to 1; None while nobody knows."""
        return self.progress.get("fraction")

    @property
    def announcement(self) -> str:
        """For who listens: a few in all, not one for each step."""
        if self.state == "running" and self.fraction:
            return f"{int(self.fraction * 4) * 25} % done"
        return " ".join(filter(None, (f"{self.headline}.", self.advice, self.command)))

    @property
    def texts(self) -> dict[str, str]:
        """By the names that the page's template and its script know them by."""
        shown = {"headline": self.headline, "advice": self.advice, "command": self.command}
        if self.progress:
            shown |= {
                "written": f"{self.progress['succeeded']:,}",
                "refused": f"{self.progress['failed']:,}",
                "total": f"{self.progress['total']:,}",
                "time": f"{self.progress['duration']:.1f} s",
            }
        return shown

    def as_dict(self) -> dict[str, Any]:
        """As the page's script knows it."""
        return {
            "state": self.state,
            "over": self.is_over,
            "repeatable": self.may_be_repeated,
            "fraction": self.fraction,
            "announcement": self.announcement,
            "texts": self.texts,
            "errors": self.progress.get("errors", []),
        }


def start(task_id: UUID) -> None:
    """Order all entries to be written to the search index. Raises StoreUnavailable."""
    try:
        # Asked first: the result's store would be tried for 20 seconds.
        with app.connection_for_write() as queue:
            queue.ensure_connection(max_retries=1)
        order = order_of(Entry.rows.all(), "search")
        reindex_with_celery.apply_async([order], task_id=str(task_id))
    except (OperationalError, RedisError) as error:
        found = unavailable("The queue", error)
        found.reason = START_QUEUE
        raise found from error


def look(task_id: UUID, ordered: datetime) -> Look:
    """How far the task is that was ordered then."""
    try:
        return _look(str(task_id), timezone.now() - ordered)
    except (OperationalError, RedisError) as error:
        return Look(
            state="unavailable",
            headline=str(unavailable("The queue", error)),
            advice="This page will go on when it is there again. To start it:",
            command=START_QUEUE,
        )


def _look(task_id: str, age: timedelta) -> Look:
    told = _told(task_id)
    if told is None:
        seen = _waiting(age)
    elif told.state == "running" and not _is_at_work(task_id):
        seen = replace(
            told,
            state="lost",
            headline="The worker that did it has gone",
            advice="What it has written stays. Have it done again.",
        )
    else:
        return told
    if seen.state == "waiting":
        return seen
    # While the workers were asked it may have begun, gone on, or come to its end.
    now = _told(task_id)
    return now if now is not None and now != told else seen


def _told(task_id: str) -> Look | None:
    """What the task itself has told last; None before it begins."""
    meta = app.backend.get_task_meta(task_id, cache=False)
    state, result = meta["status"], meta["result"]
    if state == states.PENDING:
        return None
    if state == states.SUCCESS:
        return _done(result)
    if state in {states.FAILURE, states.REVOKED}:
        reason = f"{type(result).__name__}: {result}"
        return Look(state="failed", headline="It has stopped", advice=reason)
    if state == "PROGRESS":
        headline = f"Writing {result['total']:,} entries"
        return Look(state="running", headline=headline, progress=result)
    return Look(state="running", headline="Counting the entries")


def _done(progress: Mapping[str, Any]) -> Look:
    written = progress["succeeded"]
    total = written + progress["failed"]
    if progress["failed"]:
        headline = f"{written:,} of {total:,} entries are written"
        return Look(
            state="done", headline=headline, advice="The others were refused.", progress=progress
        )
    return Look(state="done", headline=f"All {total:,} entries are written", progress=progress)


def _waiting(age: timedelta) -> Look:
    if age > KEPT:
        return Look(
            state="forgotten",
            headline="What became of it is not known any more",
            advice="Results are kept for a day.",
        )
    if age > PATIENCE and not app.control.ping(timeout=ANSWER_TIMEOUT, limit=1):
        return Look(
            state="idle",
            headline="No Celery worker answers",
            advice="The demo starts one with the site. Start another, and it begins:",
            command=START_WORKER,
        )
    return Look(state="waiting", headline="Waiting for a worker")


def _is_at_work(task_id: str) -> bool:
    """Whether a worker has the task. The first answer is most often of the one that has it; nobody
    knows how many there are, so otherwise all are given the time to answer."""
    question = {"arguments": {"ids": [task_id]}, "reply": True, "timeout": ANSWER_TIMEOUT}
    return any(
        task_id in tasks
        for limit in (1, None)
        for answer in app.control.broadcast("query_task", limit=limit, **question)
        for tasks in answer.values()
    )
