"""What happens when Django starts."""

from __future__ import annotations

from django.apps import AppConfig

from project import telemetry


class ProjectConfig(AppConfig):
    name = "project"

    def ready(self) -> None:
        telemetry.start()
