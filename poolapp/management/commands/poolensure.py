"""``manage.py poolensure``: is there a place for every document?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from poolapp.core.exceptions import PoolError
from poolapp.core.registry import pools
from poolapp.managers.declared import declared, name_of
from poolapp.managers.documents.manager import DocumentManager


class Command(BaseCommand):
    help = (
        "Makes what the managers of documents need before the first write (indexes, buckets, "
        "collections), of each alias, or of those named, and brings what is there up to date. Run "
        "it with each deployment, as you run migrate; again, it changes nothing. Exits with 0 when "
        "all is there, with 1 when something could not be made, with 2 for a wrong alias."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("alias", nargs="*", help="a key of POOLS; all when none is given")
        parser.add_argument(
            "--dry-run", action="store_true", help="only say what would be looked after"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        managers = declared()
        aliases = options["alias"]
        for alias in aliases:
            if alias not in pools and alias not in pools.faults:
                known = ", ".join(map(repr, sorted(pools))) or "none"
                raise CommandError(f"there is no pool {alias!r}; POOLS has {known}", returncode=2)
        if aliases:
            managers = [each for each in managers if each.pool in aliases]
        if not managers:
            whose = f"of {', '.join(aliases)} " if aliases else ""
            self.stdout.write(f"No model declares a manager of documents {whose}".strip() + ".")
            return
        if options["dry_run"]:
            for manager in managers:
                self.stdout.write(f"{_line(manager)}: would be looked after.")
            return
        failed = asyncio.run(_ensure(managers, self.stdout.write, self.stderr.write))
        if failed:
            noun = "manager" if failed == 1 else "managers"
            raise CommandError(f"{failed} {noun} of {len(managers)} could not be looked after.")


async def _ensure(
    managers: list[DocumentManager[Any]],
    say: Callable[[str], object],
    complain: Callable[[str], object],
) -> int:
    """How many could not; the others are looked after in any case."""
    failed = 0
    for manager in managers:
        try:
            made = await manager.ensure()
        except (DatabaseError, PoolError, ValueError) as error:
            failed += 1
            complain(f"{_line(manager)}: {error}")
            continue
        for sentence in made:
            say(f"{_line(manager)}: {sentence}")
        if not made:
            say(f"{_line(manager)}: all is there.")
    return failed


def _line(manager: DocumentManager[Any]) -> str:
    return f"{manager.pool}: {name_of(manager)}"
