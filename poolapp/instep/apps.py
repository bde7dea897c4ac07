"""``"poolapp.instep"`` in ``INSTALLED_APPS``."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register
from django.db.models.signals import post_delete, post_save

from poolapp.core.registry import pools
from poolapp.monitoring.health import monitor


class InStepConfig(AppConfig):
    name = "poolapp.instep"
    label = "instep"
    verbose_name = "Documents in step"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from poolapp.instep.background import background
        from poolapp.instep.catching_up import worries
        from poolapp.instep.checks import check_declared
        from poolapp.instep.marking import on_change

        for signal in (post_save, post_delete):
            signal.connect(on_change, dispatch_uid="poolapp.instep")
        register(check_declared, "poolapp")
        pools.unobserve(background)
        pools.observe(background)
        if worries not in monitor.worries:
            monitor.worries.append(worries)
