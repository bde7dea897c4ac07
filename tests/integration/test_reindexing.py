"""Writing the documents of many rows: by a coroutine, a Celery task, an RQ job."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.signing import BadSignature
from django.db import connection
from django.test import override_settings

from poolapp.core.exceptions import PoolError
from poolapp.reindexing import Progress, order_of, reindex
from poolapp.reindexing.order import read_order
from tests.acceptance.servers.processes import started
from tests.real import eventually
from tests.steps.fixtures import (  # noqa: F401
    admin_fixture,
    lead_nowhere,
    notes_fixture,
    steps_fixture,
    url_of,
)

ROOT = Path(__file__).parents[2]


async def fill(notes: Any, count: int) -> None:
    await notes.Note.rows.abulk_create(
        [notes.Note(title=f"note {number:04}", stars=number % 5) for number in range(count)]
    )


class TestAsACoroutine:
    async def test_every_row_has_its_document(self, notes: Any) -> None:
        await fill(notes, 250)
        told: list[Progress] = []
        result = await reindex(
            notes.Note.rows.order_by("pk"),
            notes.Note.documents,
            batch_size=20,
            concurrency=2,
            progress=told.append,
        )
        assert (result.succeeded, result.failed) == (250, [])
        assert await notes.Note.documents.acount() == 250
        assert [each.succeeded for each in told] == [0, 40, 80, 120, 160, 200, 240, 250]
        assert {each.total for each in told} == {250}
        assert (told[0].fraction, told[-1].fraction) == (0.0, 1.0)
        assert told[1].as_dict()["fraction"] == 0.16

    async def test_a_document_that_is_there_is_replaced(self, notes: Any) -> None:
        await fill(notes, 10)
        await reindex(notes.Note.rows.all(), notes.Note.documents)
        await notes.Note.rows.aupdate(stars=9)
        result = await reindex(notes.Note.rows.filter(title__lt="note 0005"), notes.Note.documents)
        assert result.succeeded == 5
        assert await notes.Note.documents.filter(stars=9).acount() == 5

    async def test_an_async_function_may_be_told(self, notes: Any) -> None:
        await fill(notes, 3)
        told = []

        async def tell(progress: Progress) -> None:
            told.append(progress)

        await reindex(notes.Note.rows.all(), notes.Note.documents, progress=tell)
        assert told[-1].succeeded == 3

    async def test_one_that_is_refused_is_told_and_the_rest_goes_on(
        self, notes: Any, admin: Any
    ) -> None:
        await admin.steps.notes.create_index("title", unique=True)
        await admin.steps.notes.insert_one({"_id": "somebody's", "title": "note 0007"})
        await fill(notes, 50)
        told: list[Progress] = []
        result = await reindex(
            notes.Note.rows.order_by("pk"),
            notes.Note.documents,
            batch_size=5,
            concurrency=1,
            progress=told.append,
        )
        assert result.succeeded == 49
        ((index, error),) = [(each.index, str(each.error)) for each in result.failed]
        assert index == 7
        assert "title" in error
        assert told[-1].failed == 1
        assert "title" in told[-1].errors[0]

    async def test_an_outage_says_how_far_it_came(self, notes: Any) -> None:
        await fill(notes, 5)
        await lead_nowhere()
        with pytest.raises(PoolError) as caught:
            await reindex(notes.Note.rows.all(), notes.Note.documents)
        assert caught.value.result.succeeded == 0  # type: ignore[attr-defined]

    async def test_of_no_rows_it_is_done_at_once(self, notes: Any) -> None:
        told: list[Progress] = []
        result = await reindex(notes.Note.rows.none(), notes.Note.documents, progress=told.append)
        assert (result.succeeded, result.processed) == (0, 0)
        assert told[0].fraction == 1.0


class TestOrders:
    async def test_they_name_the_rows_that_are_there_when_they_are_read(self, notes: Any) -> None:
        order = order_of(notes.Note.rows.filter(stars__gte=3).order_by("-title"), "documents")
        await fill(notes, 10)
        rows, into = read_order(order)
        assert [row.title async for row in rows] == [f"note {number:04}" for number in (9, 8, 4, 3)]
        assert (into.name, into.model) == ("documents", notes.Note)

    async def test_what_somebody_else_wrote_is_not_read(self, notes: Any) -> None:
        order = order_of(notes.Note.rows.all(), "documents")
        with pytest.raises(BadSignature):
            read_order(order[:-1] + ("A" if order[-1] != "A" else "B"))
        with override_settings(SECRET_KEY="a stranger's"), pytest.raises(BadSignature):
            read_order(order)
        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["for the tests only"]):
            assert read_order(order)[1].name == "documents"

    async def test_only_document_managers_take_any(self, notes: Any) -> None:
        with pytest.raises(TypeError, match=r"Note.objects is no document manager"):
            order_of(notes.Note.rows.all(), "objects")
        with pytest.raises(AttributeError, match="nothing"):
            order_of(notes.Note.rows.all(), "nothing")


@pytest.fixture
def environment(
    notes: Any, mongodb_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Of a worker: what it is to find, in a queue of its own."""
    variables = {
        "DJANGO_SETTINGS_MODULE": "tests.steps.settings",
        "STEPS_DATABASE": connection.settings_dict["NAME"],
        "STEPS_MONGODB_URL": url_of(mongodb_url),
        "STEPS_QUEUE": f"steps-{uuid.uuid4().hex}",
        "STEPS_REDIS_URL": redis_url,
    }
    for name in ("STEPS_QUEUE", "STEPS_REDIS_URL"):
        monkeypatch.setenv(name, variables[name])
    return {**os.environ, **variables}


class TestAsAJob:
    async def test_celery_does_it_and_tells_how_far_it_is(
        self, notes: Any, environment: dict[str, str], tmp_path: Path
    ) -> None:
        from tests.steps.worker import app

        await fill(notes, 3000)
        order = order_of(notes.Note.rows.all(), "documents")
        worker = (
            "-m", "celery", "-A", "tests.steps.worker", "worker", "--pool", "solo",
            "--without-heartbeat", "--without-mingle", "--without-gossip",
        )  # fmt: skip
        async with started(worker, environment, tmp_path, project=ROOT) as process:
            sent = app.send_task("poolapp.reindex", [order])
            seen: list[dict[str, Any]] = []

            async def done() -> bool:
                assert process.running, process.log
                if sent.state == "PROGRESS" and sent.info not in seen:
                    seen.append(sent.info)
                return sent.ready()

            await eventually(done)
            answer = sent.get()
            process.terminate()
            await process.end()
        app.close()
        assert (answer["succeeded"], answer["failed"], answer["fraction"]) == (3000, 0, 1.0)
        assert seen
        assert all(each["total"] == 3000 for each in seen)
        assert await notes.Note.documents.acount() == 3000

    @pytest.mark.parametrize("kind", ["rq.worker.Worker", "rq.worker.SimpleWorker"])
    async def test_rq_does_it_in_a_forked_process_or_its_own(
        self, notes: Any, environment: dict[str, str], tmp_path: Path, kind: str
    ) -> None:
        from redis import Redis
        from rq import Queue

        from poolapp.tasks import reindex_with_rq

        await fill(notes, 300)
        order = order_of(notes.Note.rows.all(), "documents")
        redis = Redis.from_url(environment["STEPS_REDIS_URL"])
        queue = Queue(environment["STEPS_QUEUE"], connection=redis)
        job = queue.enqueue(reindex_with_rq, order)
        again = queue.enqueue(reindex_with_rq, order)
        arguments = ("-m", "tests.steps.rq_worker", kind)
        async with started(arguments, environment, tmp_path, project=ROOT) as process:
            assert await process.end() == 0, process.log  # when the queue is empty
            log = process.log
        for each in (job, again):
            each.refresh()
            assert each.is_finished, log
            assert each.return_value()["succeeded"] == 300
            assert each.meta["progress"]["total"] == 300
            each.delete()
        redis.close()
        assert await notes.Note.documents.acount() == 300

    async def test_django_s_own_tasks_do_it(self, notes: Any) -> None:
        pytest.importorskip("django.tasks", reason="django.tasks came with Django 6.0")
        from poolapp.tasks import reindex_with_django

        await fill(notes, 30)
        with override_settings(
            TASKS={"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}}
        ):
            result = await reindex_with_django.aenqueue(
                order_of(notes.Note.rows.all(), "documents")
            )
        assert result.return_value["succeeded"] == 30
