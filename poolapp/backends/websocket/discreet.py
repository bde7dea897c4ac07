"""The driver's log without secrets: at level DEBUG it has every header and message."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from poolapp.core.config import HIDDEN, is_secret_name


class DiscreetLogger(logging.LoggerAdapter[logging.Logger]):
    """Passes on what is logged to ``websockets.client``, with secrets replaced by ``***``."""

    def __init__(self, scrub: Callable[[str], str]) -> None:
        super().__init__(logging.getLogger("websockets.client"), {})
        self._scrub = scrub

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        if self.isEnabledFor(level):
            if len(args) == 2 and is_secret_name(str(args[0])):  # a header's name and value
                args = (args[0], HIDDEN)
            text = str(msg) % args if args else str(msg)
            self.logger.log(level, "%s", self._scrub(text), **kwargs)
