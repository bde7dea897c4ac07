"""Models with tables in PostgreSQL, and documents in MongoDB."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import modify_settings

from poolapp import pools
from poolapp.devservices.ports import free_port
from poolapp.instep import catching_up
from poolapp.instep.background import background
from tests.mongodb_server import MONGODB, outsider
from tests.real import config_of, eventually


@pytest.fixture(scope="module", name="steps")
def steps_fixture(django_db_setup: None, django_db_blocker: Any) -> Iterator[Any]:
    """The models of an app that keeps documents in step, with tables."""
    with django_db_blocker.unblock():
        # pytest-django does so for tests that are marked, if any of them are to run.
        call_command("migrate", verbosity=0)
    with (
        modify_settings(INSTALLED_APPS={"append": "tests.steps"}),
        django_db_blocker.unblock(),
    ):
        from tests.steps import models as found

        made = [found.Note, found.LongNote, found.Unmarked]
        with connection.schema_editor() as editor:
            for model in made:
                editor.create_model(model)
        yield found
        with connection.schema_editor() as editor:
            for model in reversed(made):
                editor.delete_model(model)
        connection.close()


@pytest.fixture(name="admin")
async def admin_fixture(mongodb_url: str) -> AsyncIterator[Any]:
    async with outsider(mongodb_url) as admin:
        yield admin


@pytest.fixture(name="notes")
async def notes_fixture(
    steps: Any, mongodb_url: str, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Any]:
    """The models, with no rows and no documents."""
    monkeypatch.setattr(catching_up, "FIRST_DELAY", 0.05)
    await pools["default"].execute(
        "TRUNCATE steps_note, steps_longnote, steps_unmarked, instep_step"
    )
    await admin.drop_database("steps")
    await lead_to(mongodb_url)
    await eventually(rests)  # it has looked for what was left, since the database was opened
    yield steps
    await pools.close_all()
    await pools.remove("steps")
    catching_up.failing.clear()


async def rests() -> bool:
    return not background._passing


async def lead_to(url: str, **settings: Any) -> None:
    """Have the documents' pool lead to this server."""
    if "steps" in pools:
        await pools.remove("steps")
    pools.register("steps", config_of(MONGODB, url_of(url), alias="steps", **settings))


def url_of(url: str) -> str:
    """With the database of the tests."""
    start, _, query = url.partition("?")
    return f"{start.rstrip('/')}/steps?{query or 'authSource=admin'}"


async def lead_nowhere() -> None:
    await lead_to(f"mongodb://127.0.0.1:{free_port()}/", connect_timeout=0.2, acquire_timeout=0.2)
