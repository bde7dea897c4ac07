"""Documents that keep in step with the rows of a real PostgreSQL, in a real MongoDB."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, models, transaction
from django.test import override_settings
from django.test.utils import modify_settings

from poolapp import pools
from poolapp.instep import mark, settle, step_failed
from tests.mongodb_server import MONGODB, outsider
from tests.real import config_of, eventually


@pytest.fixture(scope="module")
def steps(django_db_blocker: Any) -> Iterator[Any]:
    """The app's models, with tables."""
    with (
        modify_settings(INSTALLED_APPS={"append": "tests.steps"}),
        django_db_blocker.unblock(),
    ):
        from poolapp.instep.models import Step
        from tests.steps import models as found

        made = [Step, found.Note, found.LongNote, found.Unmarked]
        with connection.schema_editor() as editor:
            for model in made:
                editor.create_model(model)
        yield found
        with connection.schema_editor() as editor:
            for model in reversed(made):
                editor.delete_model(model)
        connection.close()


@pytest.fixture
async def admin(mongodb_url: str) -> AsyncIterator[Any]:
    async with outsider(mongodb_url) as admin:
        yield admin


@pytest.fixture
async def notes(steps: Any, mongodb_url: str, admin: Any) -> AsyncIterator[Any]:
    """The model, with no rows and no documents."""
    await pools["default"].execute("TRUNCATE steps_note, steps_longnote, steps_unmarked, instep_step")
    await admin.drop_database("steps")
    pools.register("steps", config_of(MONGODB, _named(mongodb_url, "steps"), alias="steps"))
    try:
        yield steps
    finally:
        await pools.close_all()
        await pools.remove("steps")


def _named(url: str, database: str) -> str:
    start, _, query = url.partition("?")
    query = query or "authSource=admin"
    return f"{start.rstrip('/')}/{database}?{query}"


async def titles(steps: Any) -> list[str]:
    return [note.title async for note in steps.Note.documents.order_by("title")]


async def left() -> int:
    return await pools["default"].fetchval("SELECT count(*) FROM instep_step")


async def none_left() -> bool:
    return await left() == 0


async def test_what_is_saved_is_written_soon_after(notes: Any) -> None:
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


async def test_what_is_rolled_back_leaves_nothing(notes: Any) -> None:
    with pytest.raises(RuntimeError):
        async with pools["default"].atomic():
            await notes.Note.rows.acreate(title="never")
            raise RuntimeError
    assert await left() == 0
    await settle()
    assert await titles(notes) == []
