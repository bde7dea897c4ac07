"""``FLEET_MAX``: what all workers may open together, divided evenly among them."""

from __future__ import annotations

from collections.abc import Sequence

from poolapp.core.config import PoolConfig
from poolapp.core.registry import Registry


def share(fleet_max: int, workers: Sequence[str], worker: str) -> int:
    """How many of them are this worker's: the same number for all, and one more for the first ones
    by name when it does not divide. At least 1, since a pool of none is none."""
    each, remainder = divmod(fleet_max, len(workers))
    return max(1, each + (sorted(workers).index(worker) < remainder))


class Division:
    """Keeps the pools of this process at its shares, never above the sizes that they were given by
    the settings or by hand."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._wished: dict[str, tuple[int, int]] = {}
        """``MIN_SIZE`` and ``MAX_SIZE`` as they were before they were cut to the share."""
        self._applied: dict[str, tuple[int, int]] = {}

    def wish(self, config: PoolConfig) -> tuple[int, int]:
        """The sizes that an alias would have were it not for the fleet."""
        sizes = (config.min_size, config.max_size)
        return self._wished[config.alias] if self._applied.get(config.alias) == sizes else sizes

    def resize(
        self, alias: str, *, min_size: int | None = None, max_size: int | None = None
    ) -> None:
        """By hand: ``divide`` cuts it to the share again. Raises like ``Registry.resize``."""
        low, high = self.wish(self._registry.config(alias))
        self._registry.resize(
            alias,
            min_size=low if min_size is None else min_size,
            max_size=high if max_size is None else max_size,
        )
        self._applied.pop(alias, None)

    def divide(self, workers: Sequence[str], worker: str) -> None:
        """Take the share for these workers, of which this process is one."""
        for alias in self._registry:
            config = self._registry.config(alias)
            if config.fleet_max is None:
                if alias in self._applied:
                    self._give_back(config)
                continue
            low, high = self._wished[alias] = self.wish(config)
            most = min(high, share(config.fleet_max, workers, worker))
            self._resize(config, min(low, most), most)

    def _give_back(self, config: PoolConfig) -> None:
        """The alias is not divided any more."""
        low, high = self.wish(config)
        self._resize(config, low, high)
        del self._wished[config.alias], self._applied[config.alias]

    def _resize(self, config: PoolConfig, low: int, high: int) -> None:
        if (low, high) != (config.min_size, config.max_size):
            self._registry.resize(config.alias, min_size=low, max_size=high)
        self._applied[config.alias] = (low, high)
