"""What a MongoDB alias leaves open on the network."""

from __future__ import annotations

from collections.abc import Iterator

from poolapp.backends.exposing import plaintext, unverified
from poolapp.core.backend import Exposure
from poolapp.core.config import PoolConfig

_LOOSE = ("tlsinsecure", "tlsallowinvalidcertificates", "tlsallowinvalidhostnames")


def exposures(config: PoolConfig) -> Iterator[Exposure]:
    for location in config.where():
        # The driver takes the names of its options in any case.
        told = {name.lower(): (value, "LOCATION") for name, value in location.query.items()}
        for name, value in config.options.items():
            told[name.lower()] = (value, f"OPTIONS[{name!r}]")
        secret = location.password is not None or told.get("password", (None,))[0] is not None
        encrypts = location.scheme == "mongodb+srv" or any(
            _is_on(told[name][0]) for name in ("tls", "ssl") if name in told
        )
        if secret and not encrypts and not location.is_local:
            hint = "Add 'tls=true' to LOCATION, and the authority's file as tlsCAFile."
            yield plaintext(hint, to=location.address)
        for name in _LOOSE:
            if name in told and _is_on(told[name][0]):
                hint = "Leave it out, and give the authority's file as tlsCAFile."
                yield unverified(name, hint, setting=told[name][1])


def _is_on(value: object) -> bool:
    return value is True or str(value).lower() == "true"
