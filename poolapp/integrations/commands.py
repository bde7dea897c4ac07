"""Management commands: what one holds is known by its name."""

from __future__ import annotations

import sys
from pathlib import Path

from poolapp.core.work import WORK, Work

_PROGRAMS = ("manage.py", "django-admin", "django-admin.py")


def connect(arguments: list[str] | None = None) -> None:
    """Called in the main thread before the command runs; its tasks and ``pools.run`` inherit it."""
    program, *rest = sys.argv if arguments is None else arguments
    django = Path(program).parent.name == "django" and Path(program).name == "__main__.py"
    if rest and not rest[0].startswith("-") and (Path(program).name in _PROGRAMS or django):
        WORK.set(Work("command", rest[0]))
