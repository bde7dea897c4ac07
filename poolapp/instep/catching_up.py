"""Doing what is written down."""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.apps import apps
from django.db import connections, transaction
from django.db.models import F, Min, Model, Q, QuerySet
from django.db.models.functions import Now

from poolapp.core.exceptions import PoolError
from poolapp.core.registry import pools
from poolapp.databases import pool_or_none
from poolapp.instep.declaring import declared
from poolapp.instep.models import Step
from poolapp.instep.signals import step_failed
from poolapp.managers.documents.bulk import BulkResult
from poolapp.managers.documents.exceptions import Missing
from poolapp.monitoring.probe import Status

logger = logging.getLogger("poolapp.instep")

T = TypeVar("T")

failing: dict[str, int] = {}
"""``shop.Article.search`` -> how many of its documents could not be written the last time."""

BATCH = 500
"""Steps that are taken at a time."""

CLAIM = datetime.timedelta(seconds=120)
"""After which a process that took steps counts as dead."""

FIRST_DELAY = 1.0
LONGEST_DELAY = 600.0
"""Seconds from a failure to the next try: the first, doubled each time, at the most this."""


@dataclass(slots=True)
class Settled:
    """What became of the steps that were due."""

    written: int = 0
    removed: int = 0
    failed: int = 0


async def settle(using: str = "default") -> Settled:
    """Do all that is due in a database; what other processes are at is left to them.

    A failure is logged, told by ``step_failed``, and tried again later. Raises what the database
    of the rows raises.
    """
    settled = Settled()
    while steps := await on_database(using, _take, using):
        groups = defaultdict(list)
        for step in steps:
            groups[step.model, step.manager].append(step)
        for (label, name), group in groups.items():
            await _do(using, label, name, group, settled)
    return settled


async def next_due(using: str) -> float | None:
    """Seconds until the next step is due, None when nothing is to be done."""
    return await on_database(using, _next_due, using)


async def on_database(using: str, function: Callable[..., T], *args: Any) -> T:
    """Call synchronous code of the ORM: on a pool of that database, where there is one, else in a
    thread."""
    alias = pool_or_none(using)
    if alias is None:
        return await asyncio.to_thread(_in_thread, using, function, *args)
    result: T = await pools[alias].natively(function, *args)  # type: ignore[attr-defined]
    return result


def _in_thread(using: str, function: Callable[..., T], *args: Any) -> T:
    try:
        return function(*args)
    finally:
        connections[using].close()


def worries(alias: str) -> list[tuple[Status, str]]:
    """For the health of a pool."""
    return [
        ("degraded", f"{count} documents of {model._meta.label}.{name} are not in step.")
        for model, names in declared().items()
        for name in names
        if (count := failing.get(f"{model._meta.label}.{name}"))
        and getattr(model, name).pool == alias
    ]


# -- in the database -------------------------------------------------------------------------------


def _free(using: str) -> QuerySet[Step]:
    return Step.objects.using(using).filter(
        Q(claimed_until=None) | Q(claimed_until__lt=Now()), due__lte=Now()
    )


def _take(using: str) -> list[Step]:
    features = connections[using].features
    with transaction.atomic(using=using):
        skip = features.has_select_for_update_skip_locked
        found = list(_free(using).select_for_update(skip_locked=skip).order_by("due")[:BATCH])
        Step.objects.using(using).filter(pk__in=[step.pk for step in found]).update(
            claimed_until=Now() + CLAIM
        )
    return found


def _next_due(using: str) -> float | None:
    found = Step.objects.using(using).aggregate(
        due=Min("due"), claimed=Min("claimed_until"), now=Min(Now())
    )
    if found["due"] is None:
        return None
    times = [each for each in (found["due"], found["claimed"]) if each and each > found["now"]]
    return (min(times) - found["now"]).total_seconds() if times else 0.0


def _done(using: str, steps: Sequence[Step]) -> None:
    """Strike them out, unless their rows have changed since: then they are free again."""
    tokens = [step.token for step in steps]
    Step.objects.using(using).filter(token__in=tokens).delete()
    pks = [step.pk for step in steps]
    Step.objects.using(using).filter(pk__in=pks).exclude(token__in=tokens).update(
        claimed_until=None
    )


def _failed(using: str, failures: dict[Step, str]) -> None:
    for step, error in failures.items():
        delay = min(FIRST_DELAY * 2.0**step.attempts, LONGEST_DELAY)
        mine = Step.objects.using(using).filter(pk=step.pk)
        mine.filter(token=step.token).update(
            attempts=F("attempts") + 1,
            due=Now() + datetime.timedelta(seconds=delay),
            error=error[:2000],
        )
        mine.update(claimed_until=None)


def _rows(using: str, model: type[Model], pks: Sequence[Any]) -> dict[Any, Model]:
    return model._base_manager.using(using).in_bulk(list(pks))


# -- in the documents ------------------------------------------------------------------------------


async def _do(using: str, label: str, name: str, steps: list[Step], settled: Settled) -> None:
    failures: dict[Step, str] = {}
    alias = ""
    try:
        model = apps.get_model(label)
        by_pk = {model._meta.pk.to_python(step.key): step for step in steps}
        manager = getattr(model, name)
        alias = manager.pool
        rows = await on_database(using, _rows, using, model, list(by_pk))
        written = await manager.abulk_create(rows.values(), update_conflicts=True)
        gone = [model(pk=pk) for pk in by_pk if pk not in rows]
        removed = await manager.abulk_delete(gone)
        failures = {by_pk[each.id]: str(each.error) for each in _failures(written, removed)}
        settled.written += written.succeeded
        settled.removed += removed.succeeded
    except PoolError as error:
        failures = dict.fromkeys(steps, str(error))
    except Exception as error:  # a fault of the code, or of the schema: as worth telling
        failures = dict.fromkeys(steps, f"{type(error).__name__}: {error}")
    done = [step for step in steps if step not in failures]
    place = f"{label}.{name}"
    if done:
        failing.pop(place, None)
        await on_database(using, _done, using, done)
    if failures:
        settled.failed += len(failures)
        failing[place] = len(failures)
        await on_database(using, _failed, using, failures)
        _tell(alias, label, name, failures)


def _failures(*results: BulkResult) -> list[Any]:
    return [
        each for result in results for each in result.failed if not isinstance(each.error, Missing)
    ]


def _tell(alias: str, label: str, name: str, failures: dict[Step, str]) -> None:
    attempts = 1 + max(step.attempts for step in failures)
    logger.warning(
        "%d documents of %s.%s could not be brought in step (tried up to %d times): %s",
        len(failures),
        label,
        name,
        attempts,
        next(iter(failures.values())),
        extra={"alias": alias, "event": "instep_failed"},
    )
    step_failed.send_robust(
        sender=label,
        manager=name,
        failures={step.key: error for step, error in failures.items()},
        attempts=attempts,
    )
