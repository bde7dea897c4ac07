from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from poolapp.devservices import DevServiceError, ServiceStatus, Supervisor


class Command(BaseCommand):
    help = (
        "Start, stop or show the development servers. A service whose POOLAPP_<NAME>_URL is set "
        "is external and left alone. `status` exits with 1 when one of them is not there."
    )
    requires_system_checks = ()  # settings may be checked once the servers are up, not before

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["up", "down", "status"])
        parser.add_argument("names", nargs="*", help="services; all when none is named")
        parser.add_argument(
            "--discard", action="store_true", help="with `down`: delete their data too"
        )

    def handle(self, *args: Any, action: str, names: list[str], **options: Any) -> None:
        supervisor = Supervisor()
        if options["discard"] and action != "down":
            raise CommandError("--discard goes with `down` only.", returncode=2)
        try:
            if action == "up":
                supervisor.up(*names)
            elif action == "down":
                supervisor.down(*names, discard=options["discard"])
            rows = supervisor.status(*names)
        except DevServiceError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(_table(rows))
        if action == "status" and any(row.state in {"stopped", "dead"} for row in rows):
            raise SystemExit(1)


def _table(rows: list[ServiceStatus]) -> str:
    lines = [("SERVICE", "STATE", "ADDRESS", "PID", "LOG")]
    for row in rows:
        pid, log = str(row.pid or "-"), str(row.log or "-")
        lines.append((row.name, row.state, row.address or "-", pid, log))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(map(str.ljust, line, widths)).rstrip()  # one line a service
        for line in lines
    )
