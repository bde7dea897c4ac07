"""Ask twenty times, by both ways of calling async code from a command; print each answer."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import async_to_sync
from django.core.management.base import BaseCommand
from served.work import ask

from poolapp import pools


class Command(BaseCommand):
    def handle(self, *args: Any, **options: Any) -> None:
        with ThreadPoolExecutor(8) as threads:
            runs = [threads.submit(pools.run, ask) for _ in range(10)]
            runs += [threads.submit(async_to_sync(ask)) for _ in range(10)]
        for run in runs:
            self.stdout.write("answer " + json.dumps(run.result()))
