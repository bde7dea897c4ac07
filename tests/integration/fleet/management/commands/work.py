"""A management command that has pools for as long as its stdin is open."""

import asyncio
from typing import Any

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    def handle(self, *args: Any, **options: Any) -> None:
        from fleet.worker import work

        asyncio.run(work())
