"""`manage.py import_stdlib`: fill the stores with this interpreter's library."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser
from typing import Any, Self

from django.core.management.base import BaseCommand, CommandError
from elasticsearch import ApiError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from poolapp import pools
from project.collecting import ImportFailed, collect
from project.importing import is_done, store
from project.stores import StoreUnavailable


class Command(BaseCommand):
    help = "Import the standard library of this interpreter into PostgreSQL, Elasticsearch and S3."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--force", action="store_true", help="import again what is already there"
        )

    def handle(self, *args: Any, force: bool, **options: Any) -> None:
        self.stdout.ending = ""  # rich ends its lines, and redraws some, itself
        try:
            asyncio.run(self._run(Console(file=self.stdout), force=force))  # type: ignore[arg-type]
        except StoreUnavailable as error:
            hint = error.reason or "Start the servers: manage.py devservices up"
            raise CommandError(f"{error}. {hint}") from error
        except (ImportFailed, ApiError) as error:
            raise CommandError(f"{error} Nothing was changed.") from error

    async def _run(self, console: Console, *, force: bool) -> None:
        try:
            if not force and await is_done():
                console.print("The library is imported already (--force imports it again).")
                return
            with _Bars(console) as bars:
                entries = await collect(bars.advance)
                await store(entries, bars.advance)
            console.print(f"Imported {len(entries):,} entries.", highlight=False)
        finally:
            await pools.close_all()


class _Bars:
    """Bars on a terminal; elsewhere one plain line when each step is finished."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks = {
            step: self._bars.add_task(step, total=None)
            for step in ("Collecting", "Sources", "Storing")
        }

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def advance(self, step: str, done: int, total: int | None) -> None:
        """Show that `done` of `total` steps are done."""
        self._bars.update(self._tasks[step], completed=done, total=total)
        if done == total and not self._console.is_terminal:
            self._console.print(f"{step}: done", highlight=False)
