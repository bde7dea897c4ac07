"""``manage.py poolprewarm``: can the pools open their connections?"""

from __future__ import annotations

import asyncio
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from poolapp.core.exceptions import ConfigurationError, PoolError
from poolapp.core.registry import pools


class Command(BaseCommand):
    help = (
        "Opens MIN_SIZE connections, at least one, of each alias, or of those named, all at once, "
        "and closes them again: before a deployment, to see that the servers will let its workers "
        "in. Exits with 0 when all could be opened, with 1 when one could not, with 2 for a wrong "
        "alias."
    )
    requires_system_checks = ()  # some of Django's ask the database, whose absence is told here

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("alias", nargs="*", help="a key of POOLS; all when none is given")

    def handle(self, *args: Any, **options: Any) -> None:
        aliases = options["alias"] or sorted({*pools, *pools.faults})
        if not aliases:
            self.stdout.write("POOLS declares no pool.")
            return
        try:
            for alias in aliases:
                pools.config(alias)
            opened = asyncio.run(_open(aliases))
        except ConfigurationError as error:
            raise CommandError(str(error), returncode=2) from None
        except PoolError as error:
            raise CommandError(str(error), returncode=1) from None
        for alias, count in opened.items():
            noun = "connection" if count == 1 else "connections"
            self.stdout.write(f"{alias}: {count} {noun} opened and closed.")


async def _open(aliases: list[str]) -> dict[str, int]:
    await pools.prewarm(*aliases)
    return {alias: pools[alias].idle for alias in aliases}
