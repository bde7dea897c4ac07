"""``manage.py poolinstep``: bring the documents in step with the rows, now."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS
from django.db.models.functions import Now

from poolapp.core.registry import pools
from poolapp.instep.catching_up import settle
from poolapp.instep.models import Step


class Command(BaseCommand):
    help = (
        "Writes the documents whose rows have changed, as far as no other process is at it. For "
        "what an outage or a crash has left behind: a process does its own by itself. Exits with 0 "
        "when all is in step, with 1 when something could not be written."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="default: %(default)s")
        parser.add_argument(
            "--now", action="store_true", help="try what has failed without waiting for its time"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        using = options["database"]
        if options["now"]:
            Step.objects.using(using).exclude(attempts=0).update(due=Now())
        settled = pools.run(settle, using)
        self.stdout.write(f"{settled.written} written, {settled.removed} removed.")
        left = Step.objects.using(using).count()
        if settled.failed:
            worst = Step.objects.using(using).exclude(error="").order_by("-attempts").first()
            said = f": {worst.error}" if worst is not None else ""
            raise CommandError(f"{settled.failed} could not be written{said}")
        if left:
            self.stdout.write(f"{left} are left to another process, or to a later time.")
