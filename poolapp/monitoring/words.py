"""Numbers as people read them."""

from __future__ import annotations


def duration(seconds: float | None) -> str:
    """``0.42 ms``, ``12 ms``, ``1.5 s``, ``2 min 5 s``, ``3 h 20 min``; a dash for None."""
    if seconds is None:
        return "-"
    if seconds <= 0:
        return "0 s"
    if seconds < 0.01:
        return f"{seconds * 1000:.2g} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = whole // 60
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def counted(number: int, one: str, many: str) -> str:
    """``1 pool``, ``3 pools``."""
    return f"{number} {one if number == 1 else many}"
