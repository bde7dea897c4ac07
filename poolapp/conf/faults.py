"""What can be wrong with ``POOLS``, said so that whoever wrote it can put it right."""

from __future__ import annotations

import dataclasses

from django.core.exceptions import ImproperlyConfigured

from poolapp.core.exceptions import ConfigurationError


class InvalidPoolError(ConfigurationError, ImproperlyConfigured):
    """An alias that ``POOLS`` does not have, or has wrongly; the message names the setting."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One thing that is wrong. No text of it holds a value that may be a secret."""

    code: str
    """The number of the system check, as in ``"E003"``."""
    alias: str
    """``""`` when it is ``POOLS`` itself."""
    setting: str
    """The key, with what stands inside of it: ``"MAX_SIZE"``, ``"OPTIONS['timeout']"``; ``""``
    when it is the whole alias."""
    message: str
    """Goes on from the setting's name: ``"must be a whole number"``."""
    hint: str

    @property
    def where(self) -> str:
        """``POOLS['search']['OPTIONS']['timeout']``."""
        key, bracket, inside = self.setting.partition("[")
        text = f"POOLS[{self.alias!r}]" if self.alias else "POOLS"
        return text + (f"[{key!r}]" if key else "") + bracket + inside

    @property
    def sentence(self) -> str:
        return f"{self.where} {self.message}."

    def __str__(self) -> str:
        return f"{self.sentence} {self.hint}".strip()


def paragraph(faults: list[Fault]) -> str:
    """All faults of one alias, as the message of an exception."""
    return " ".join(map(str, faults))
