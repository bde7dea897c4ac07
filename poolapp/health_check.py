"""The pools as a check of `django-health-check <https://codingjoe.dev/django-health-check/>`_, of
version 4::

    path(
        "health/",
        HealthCheckView.as_view(checks=["poolapp.health_check.ConnectionPools"]),
    )
"""

from __future__ import annotations

import dataclasses
import datetime

from health_check.base import HealthCheck  # type: ignore[import-untyped]
from health_check.exceptions import (  # type: ignore[import-untyped]
    ServiceUnavailable,
    ServiceWarning,
)

from poolapp.core.config import PoolConfig
from poolapp.core.registry import pools
from poolapp.monitoring.health import Health, monitor, overall


@dataclasses.dataclass(repr=False)
class ConnectionPools(HealthCheck):  # type: ignore[misc]
    """Says what ``/pools/health/ready`` says: no server and no error's text, so the page may be
    public. Borrows no connection, so it answers while all are in use."""

    alias: str | None = None
    """Only this one of ``POOLS``; None is all."""
    degraded: bool = dataclasses.field(default=False, kw_only=True)
    """Whether a degraded pool is an error too, a warning. It can serve, and every error makes the
    page a 500: for who watches, not for who routes."""

    def __repr__(self) -> str:
        return f"ConnectionPools({'' if self.alias is None else repr(self.alias)})"

    @property
    def labels(self) -> dict[str, str]:
        """Of the metrics."""
        labels = {"check": "ConnectionPools"}
        return labels if self.alias is None else {**labels, "alias": self.alias}

    @property
    def timeout(self) -> datetime.timedelta:
        """As long as a probe of the slowest one may take, so that its own verdict is told."""
        configs = [pools.config(each) for each in self._aliases() if each in pools]
        longest = max(map(_probe_seconds, configs), default=0.0)
        return datetime.timedelta(seconds=longest)

    async def run(self) -> None:
        verdicts: list[Health]
        if self.alias is None:
            verdicts = await monitor.check_all()
        else:
            verdicts = [await monitor.check(self.alias)]
        status = overall(verdicts)
        if status == "unhealthy":
            raise ServiceUnavailable(_said(verdicts))
        if status == "degraded" and self.degraded:
            raise ServiceWarning(_said(verdicts))

    def _aliases(self) -> list[str]:
        return monitor.aliases() if self.alias is None else [self.alias]


def _probe_seconds(config: PoolConfig) -> float:
    return config.connect_timeout + 2 * config.check_timeout + config.close_timeout


def _said(verdicts: list[Health]) -> str:
    bad = [each for each in verdicts if each.status != "healthy"]
    return " ".join(f"{each.alias} is {each.status}: {' '.join(each.reasons)}" for each in bad)
