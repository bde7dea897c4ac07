"""What can be wrong with ``POOLS``, said so that whoever wrote it can put it right."""

from __future__ import annotations

import dataclasses

from django.core.exceptions import ImproperlyConfigured

from poolapp.core.exceptions import ConfigurationError

SETTINGS = "settings.POOLS"
"""The source of what stands in Django's settings."""


class InvalidPoolError(ConfigurationError, ImproperlyConfigured):
    """An alias that ``POOLS`` does not have, or has wrongly; the message names the setting."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One thing that is wrong. No text of it holds a value that may be a secret."""

    code: str
    """The number of the system check, as in ``"E003"``; ``"W..."`` keeps nobody from working."""
    alias: str
    """``""`` when it is no alias's own."""
    setting: str
    """The key, with what stands inside of it: ``"MAX_SIZE"``, ``"OPTIONS['timeout']"``; ``""``
    when it is the whole alias."""
    message: str
    """Goes on from the setting's name: ``"must be a whole number"``."""
    hint: str
    source: str = SETTINGS
    """Where the value was written: an environment variable's or a file's name."""
    place: str = ""
    """Stands for the setting where there is none: a variable that nobody reads, a file."""

    @property
    def is_warning(self) -> bool:
        return self.code.startswith("W")

    @property
    def where(self) -> str:
        """``POOLS['search']['OPTIONS']['timeout']``, and the source if it is another."""
        if self.place:
            return self.place
        key, bracket, inside = self.setting.partition("[")
        text = f"POOLS[{self.alias!r}]" if self.alias else "POOLS"
        text += (f"[{key!r}]" if key else "") + bracket + inside
        return text + origin(self.source)

    @property
    def sentence(self) -> str:
        return f"{self.where} {self.message}."

    def __str__(self) -> str:
        return f"{self.sentence} {self.hint}".strip()


def origin(source: str) -> str:
    """``" (from POOL_SHOP_MAX_SIZE)"``; nothing for what stands in the settings."""
    return "" if source in (SETTINGS, "") else f" (from {source})"


def paragraph(faults: list[Fault]) -> str:
    """All faults of one alias, as the message of an exception."""
    return " ".join(map(str, faults))
