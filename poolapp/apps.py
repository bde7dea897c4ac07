"""What happens when Django starts: read ``POOLS``, listen, register the checks. Never connects."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register
from django.core.signals import setting_changed

from poolapp import conf, integrations, monitoring
from poolapp.cache import check_caches
from poolapp.checks import (
    check_exposures,
    check_fleet,
    check_lifespan,
    check_limits,
    check_pools,
)
from poolapp.managers.checks import check_managers
from poolapp.storage import check_storages


class PoolsConfig(AppConfig):
    name = "poolapp"
    verbose_name = "Connection pools"

    def ready(self) -> None:
        conf.configure()
        if conf.listens():
            monitoring.listen()
        integrations.connect()
        register(check_pools, "poolapp")
        register(check_fleet, "poolapp")
        register(check_managers, "poolapp")
        register(check_caches, "poolapp")
        register(check_storages, "poolapp")
        register(check_exposures, "poolapp", deploy=True)
        register(check_lifespan, "poolapp", deploy=True)
        register(check_limits, "poolapp", deploy=True)
        setting_changed.connect(conf.on_setting_changed, dispatch_uid="poolapp.conf")
