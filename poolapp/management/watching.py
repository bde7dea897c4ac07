"""Looking again and again, in place."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from django.core.management.base import CommandError

from poolapp.management.lines import Line

if TYPE_CHECKING:
    from rich.text import Text

_STYLES = {"head": "bold", "degraded": "yellow", "unhealthy": "bold red"}


def watch(look: Callable[[], Sequence[Line]], seconds: float) -> Sequence[Line]:
    """Draw what ``look`` gives on the whole terminal, every so many seconds, until Ctrl-C; returns
    what was drawn last. Raises CommandError without rich.

    Where the output is no terminal, one look follows the other.
    """
    try:
        from rich.console import Console
        from rich.live import Live
    except ImportError:
        raise CommandError(
            "--watch needs rich. Run `pip install 'django-poolapp[watch]'`.", returncode=2
        ) from None
    console = Console(file=sys.stdout)
    lines: Sequence[Line] = ()
    try:
        if not console.is_terminal:
            while True:
                lines = look()
                sys.stdout.write("".join(f"{line.text}\n" for line in lines) + "\n")
                sys.stdout.flush()
                time.sleep(seconds)
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                lines = look()
                live.update(_drawn(lines, console.height), refresh=True)
                time.sleep(seconds)
    except KeyboardInterrupt:
        return lines if console.is_terminal else ()


def _drawn(lines: Sequence[Line], height: int) -> Text:
    """As much as fits, and a word on the rest."""
    from rich.text import Text

    shown = list(lines)
    if len(shown) > height - 2:
        left = len(shown) - (height - 3)
        shown = [*shown[: height - 3], Line(f"... and {left} lines more")]
    clock = time.strftime("%H:%M:%S")
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{clock}, Ctrl-C ends\n")
    for line in shown:
        text.append(f"{line.text}\n", _STYLES.get(line.style, ""))
    return text
