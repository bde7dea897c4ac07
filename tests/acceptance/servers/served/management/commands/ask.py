"""Ask twenty times, by both ways of calling async code from a command; print each answer."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import async_to_sync
from django.core.management.base import BaseCommand, CommandParser
from served.work import ask

from poolapp import pools


class Command(BaseCommand):
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="in the main thread")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["once"]:
            try:
                self.tell(pools.run(ask))
            except KeyboardInterrupt:
                sys.exit(130)
            return
        with ThreadPoolExecutor(8) as threads:
            runs = [threads.submit(pools.run, ask) for _ in range(10)]
            runs += [threads.submit(async_to_sync(ask)) for _ in range(10)]
        for run in runs:
            self.tell(run.result())

    def tell(self, answer: dict[str, Any]) -> None:
        self.stdout.write("answer " + json.dumps(answer))
