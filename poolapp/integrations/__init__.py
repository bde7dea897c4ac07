"""What other frameworks need to know of the pools. Each is used only where its framework is
already imported, and imports it no earlier."""

from __future__ import annotations

import sys
from typing import Any

from poolapp.core.registry import pools
from poolapp.integrations import commands


def connect() -> None:
    """Called at Django's start."""
    commands.connect()
    if "twisted.internet.reactor" in sys.modules:
        from poolapp.integrations.daphne import goodbye

        goodbye.arrange()
    if "celery" in sys.modules:
        from poolapp.integrations import celery

        celery.connect(pools)


def seen_through(application: Any) -> Any:
    """The application with its requests out of reach of a server that would cut them short."""
    if "twisted.internet.reactor" not in sys.modules:
        return application
    from poolapp.integrations.daphne import goodbye

    return goodbye.wrap(application)
