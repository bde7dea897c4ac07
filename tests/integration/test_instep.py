"""Documents that keep in step with the rows of a real PostgreSQL, in a real MongoDB."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import serializers
from django.core.checks import Error
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction

from poolapp import pools
from poolapp.instep import catching_up, in_step, mark, marking, step_failed
from poolapp.instep.background import background
from poolapp.monitoring.health import monitor
from tests.real import eventually
from tests.steps.fixtures import (  # noqa: F401
    admin_fixture,
    lead_nowhere,
    lead_to,
    notes_fixture,
    rests,
    steps_fixture,
)

ROOT = Path(__file__).parents[2]


async def in_thread(function: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """Call synchronous code as Django's own threads do."""

    def call() -> Any:
        try:
            return function(*args, **named)
        finally:
            connections.close_all()

    return await asyncio.to_thread(call)


async def titles(steps: Any) -> list[str]:
    return [note.title async for note in steps.Note.documents.order_by("title")]


async def left() -> int:
    return await pools["default"].fetchval("SELECT count(*) FROM instep_step")


async def none_left() -> bool:
    return await left() == 0


class TestWhatIsWritten:
    async def test_a_row_that_is_saved_changed_and_deleted(self, notes: Any) -> None:
        note = await notes.Note.rows.acreate(title="one")
        await eventually(none_left)
        assert await titles(notes) == ["one"]
        note.title = "two"
        await notes.Note.rows.asave(note)
        await eventually(none_left)
        assert await titles(notes) == ["two"]
        await notes.Note.rows.adelete(note)
        await eventually(none_left)
        assert await titles(notes) == []

    async def test_synchronous_code_in_a_thread(self, notes: Any) -> None:
        await in_thread(notes.Note.objects.create, title="from a thread")
        await eventually(none_left)
        assert await titles(notes) == ["from a thread"]

    async def test_nothing_of_what_is_rolled_back(self, notes: Any) -> None:
        with pytest.raises(RuntimeError):
            async with pools["default"].atomic():
                await notes.Note.rows.acreate(title="never")
                raise RuntimeError
        assert await left() == 0

        def half() -> None:
            with transaction.atomic():
                notes.Note.rows.create(title="kept")
                try:
                    with transaction.atomic():
                        notes.Note.rows.create(title="given up")
                        raise KeyError
                except KeyError:
                    pass

        await pools["default"].natively(half)
        await eventually(none_left)
        assert await titles(notes) == ["kept"]

    async def test_a_row_of_a_child_is_one_of_its_parent(self, notes: Any) -> None:
        child = await in_thread(notes.LongNote.objects.create, title="long", body="text")
        await eventually(none_left)
        assert await titles(notes) == ["long"]
        await in_thread(child.delete)
        await eventually(none_left)
        assert await titles(notes) == []

    async def test_what_sends_no_signals_is_marked_by_hand(self, notes: Any) -> None:
        rows = [notes.Note(title=str(number)) for number in range(5)]

        def many() -> None:
            with transaction.atomic():
                notes.Note.rows.bulk_create(rows)
                assert mark(rows) == 5
                notes.Note.rows.filter(title="3").update(title="drei")
                assert mark(notes.Note.rows.filter(title="drei")) == 1

        await pools["default"].natively(many)
        await eventually(none_left)
        assert await titles(notes) == ["0", "1", "2", "4", "drei"]

    async def test_fixtures_that_are_loaded(self, notes: Any) -> None:
        text = '[{"model": "steps.note", "pk": 7, "fields": {"title": "loaded", "stars": 1}}]'

        def load() -> None:
            for each in serializers.deserialize("json", text):
                each.save()

        await pools["default"].natively(load)
        await eventually(none_left)
        assert await titles(notes) == ["loaded"]

    async def test_what_is_not_declared_can_t_be_marked(self, notes: Any) -> None:
        def unmarked() -> None:
            with pytest.raises(TypeError, match=r"steps.Unmarked keeps no documents in step"):
                mark(notes.Unmarked.objects.all())
            assert mark([]) == 0

        await pools["default"].natively(unmarked)


class TestSteps:
    async def test_many_changes_of_a_row_are_one_step(self, notes: Any) -> None:
        async with pools["default"].atomic():
            note = await notes.Note.rows.acreate(title="one")
            for title in ("two", "three"):
                note.title = title
                await notes.Note.rows.asave(note)
            assert await left() == 1
        await eventually(none_left)
        assert await titles(notes) == ["three"]

    async def test_a_row_that_changes_while_it_is_written_is_written_again(
        self, notes: Any
    ) -> None:
        using = "default"
        async with pools["default"].atomic():  # nobody else sees the step
            note = await notes.Note.rows.acreate(title="old")
            taken = await catching_up.on_database(using, catching_up._take, using)
            assert len(taken) == 1
            note.title = "new"
            await notes.Note.rows.asave(note)
            await catching_up.on_database(using, catching_up._done, using, taken)
            assert await left() == 1
        await eventually(none_left)
        assert await titles(notes) == ["new"]

    async def test_what_a_killed_process_had_taken_is_done_when_its_time_is_over(
        self, notes: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(marking, "kick", lambda using: None)  # this one does nothing
        await notes.Note.rows.acreate(title="left behind")
        monkeypatch.undo()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.steps.taker",
            cwd=ROOT,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "tests.steps.settings",
                "STEPS_CLAIM": "0.5",
                "STEPS_DATABASE": connection.settings_dict["NAME"],
            },
        )
        assert await process.wait() == -signal.SIGKILL
        assert await left() == 1
        background.kick("default")  # it sees when it is due, and comes back then
        await eventually(none_left)
        assert await titles(notes) == ["left behind"]

    async def test_what_others_have_taken_is_left_to_them(self, notes: Any) -> None:
        using = "default"
        async with pools["default"].atomic():
            await notes.Note.rows.acreate(title="one")
            assert len(await catching_up.on_database(using, catching_up._take, using)) == 1
            assert await catching_up.on_database(using, catching_up._take, using) == []
            assert (await catching_up.next_due(using) or 0) > 60


class TestTrouble:
    async def test_an_outage_is_told_and_made_good(
        self, notes: Any, mongodb_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        told = []

        def hear(sender: Any, **details: Any) -> None:
            told.append((sender, details))

        step_failed.connect(hear)
        await lead_nowhere()
        try:
            note = await notes.Note.rows.acreate(title="patient")  # is not kept waiting

            async def heard() -> bool:
                return bool(told)

            await eventually(heard)
        finally:
            step_failed.disconnect(hear)
        sender, details = told[0]
        assert (sender, details["manager"], details["attempts"]) == ("steps.Note", "documents", 1)
        assert list(details["failures"]) == [str(note.pk)]
        (record,) = [each for each in caplog.records if each.name == "poolapp.instep"][:1]
        assert "1 documents of steps.Note.documents could not be brought in step" in record.message
        assert await left() == 1
        row = await pools["default"].fetchrow("SELECT attempts, error FROM instep_step")
        assert row["attempts"] >= 1
        assert row["error"]
        sentence = "1 documents of steps.Note.documents are not in step."
        assert catching_up.worries("steps") == [("degraded", sentence)]
        assert catching_up.worries in monitor.worries
        await lead_to(mongodb_url)
        await eventually(none_left)
        assert await titles(notes) == ["patient"]
        assert catching_up.worries("steps") == []

    async def test_a_refused_document_keeps_its_reason_and_the_others_are_written(
        self, notes: Any, admin: Any
    ) -> None:
        await admin.steps.notes.create_index("title", unique=True)
        await admin.steps.notes.insert_one({"_id": "somebody's", "title": "taken"})

        def both() -> None:
            with transaction.atomic():
                notes.Note.rows.create(title="taken")
                notes.Note.rows.create(title="free")

        await pools["default"].natively(both)

        async def one_tried() -> bool:
            return await pools["default"].fetchval(
                "SELECT count(*) = 1 AND min(attempts) > 1 FROM instep_step"
            )

        await eventually(one_tried)  # again and again, each time a little later
        error = await pools["default"].fetchval("SELECT error FROM instep_step")
        assert "title" in error
        assert await admin.steps.notes.count_documents({"title": "free"}) == 1
        await admin.steps.notes.delete_one({"_id": "somebody's"})
        await eventually(none_left)
        assert await admin.steps.notes.count_documents({}) == 2

    async def test_with_its_pool_closed_it_rests_until_somebody_opens_it(
        self, notes: Any, mongodb_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(catching_up, "FIRST_DELAY", 0.5)
        await lead_nowhere()
        await notes.Note.rows.acreate(title="later")

        async def is_to_come_back() -> bool:
            return bool(background._timers)

        await eventually(is_to_come_back)
        await pools.close_all()
        assert background._timers == {}
        assert pools.count() == 0
        await lead_to(mongodb_url)
        assert await left() == 1
        await eventually(none_left)
        assert await titles(notes) == ["later"]

    async def test_a_database_that_is_no_pool_s(self, notes: Any, tmp_path: Path) -> None:
        connections.databases["lite"] = {
            **connections.databases["default"],
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(tmp_path / "lite.sqlite3"),
            "OPTIONS": {},
        }

        def prepare() -> None:
            from poolapp.instep.models import Step

            with connections["lite"].schema_editor() as editor:
                editor.create_model(Step)
                editor.create_model(notes.Note)
            notes.Note.objects.using("lite").create(title="lite")

        try:
            await in_thread(prepare)

            async def written() -> bool:
                return await titles(notes) == ["lite"]

            await eventually(written)

            async def done() -> bool:
                return await catching_up.next_due("lite") is None

            await eventually(done)
            await eventually(rests)
        finally:
            del connections.databases["lite"]


class TestCommand:
    async def test_it_does_what_is_left(self, notes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(marking, "kick", lambda using: None)
        await notes.Note.rows.acreate(title="by hand")
        assert await in_thread(command) == "1 written, 0 removed.\n"
        assert await titles(notes) == ["by hand"]
        assert await in_thread(command) == "0 written, 0 removed.\n"

    async def test_it_fails_with_what_the_server_said(
        self, notes: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(marking, "kick", lambda using: None)
        monkeypatch.setattr(catching_up, "FIRST_DELAY", 60.0)
        await lead_nowhere()
        await notes.Note.rows.acreate(title="nowhere")
        with pytest.raises(CommandError, match="1 could not be written: "):
            await in_thread(command)
        assert await in_thread(command) == (
            "0 written, 0 removed.\n1 are left to another process, or to a later time.\n"
        )
        with pytest.raises(CommandError, match="1 could not be written: "):
            await in_thread(command, "--now")


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("poolinstep", *arguments, stdout=out)
    return out.getvalue()


class TestDeclaring:
    def test_a_name_that_is_no_manager_is_told(self, steps: Any) -> None:
        from poolapp.instep import declaring
        from poolapp.instep.checks import check_declared

        in_step("documets")(steps.Unmarked)
        try:
            (told,) = check_declared()
        finally:
            del declaring._declared[steps.Unmarked]
            declaring.targets_of.cache_clear()
        assert isinstance(told, Error)
        assert told.id == "poolapp.E030"
        assert told.hint == "Did you mean 'documents'?"
        assert check_declared() == []

    def test_names_are_needed(self) -> None:
        with pytest.raises(TypeError, match="name the document managers"):
            in_step()
        with pytest.raises(TypeError, match="name the document managers"):
            in_step(object)  # type: ignore[arg-type]


@pytest.mark.django_db(transaction=True)
def test_the_admin_shows_what_is_left_and_has_it_tried(client: Any) -> None:
    from poolapp.instep.models import Step

    client.force_login(User.objects.create_superuser("root", password="x"))
    step = Step.objects.create(model="shop.Thing", manager="search", key="1", error="no such index")
    Step.objects.update(claimed_until="2100-01-01T00:00Z")
    page = client.get("/admin/instep/step/").content.decode()
    assert "no such index" in page
    assert client.get(f"/admin/instep/step/{step.pk}/change/").status_code == 200
    answer = client.post(
        "/admin/instep/step/",
        {"action": "try_now", "_selected_action": [step.pk]},
        follow=True,
    )
    assert "1 will be tried now." in answer.content.decode()

    async def tried() -> bool:
        row = await pools["default"].fetchrow("SELECT attempts, error FROM instep_step")
        return bool(row["attempts"]) and "shop" in row["error"]

    pools.run(eventually, tried)
    pools.run(pools.close_all)
