"""What an HTTP alias leaves open on the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from poolapp.backends.exposing import is_loose, plaintext, unverified
from poolapp.core.backend import Exposure
from poolapp.core.config import PoolConfig


def exposures(config: PoolConfig) -> Iterator[Exposure]:
    options = config.options
    headers = options.get("headers")
    signs_in = options.get("auth") is not None or (
        isinstance(headers, Mapping)
        and any(str(name).lower() == "authorization" for name in headers)
    )
    for location in config.where():
        secret = signs_in or location.password is not None
        if location.scheme == "http" and secret and not location.is_local:
            yield plaintext("Write 'https://'.", to=location.address)
    if options.get("ssl") is False or is_loose(options.get("ssl")):
        yield unverified(
            "ssl", "Leave it out, and give the authority's file as OPTIONS['ca_file']."
        )
