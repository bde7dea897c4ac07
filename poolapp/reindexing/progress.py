"""How far it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Progress:
    """``total`` rows were there at the start; ``succeeded`` and ``failed`` are done; ``duration``
    is in seconds; ``errors`` are what was said of the first failures."""

    total: int
    succeeded: int = 0
    failed: int = 0
    duration: float = 0.0
    errors: tuple[str, ...] = ()

    @property
    def fraction(self) -> float:
        """From 0 to 1. Rows that came since the start don't make it more."""
        return min(1.0, (self.succeeded + self.failed) / self.total) if self.total else 1.0

    def as_dict(self) -> dict[str, Any]:
        """As JSON knows it, with ``fraction``."""
        return {**asdict(self), "errors": list(self.errors), "fraction": round(self.fraction, 4)}
