"""What a WebSocket alias leaves open on the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from poolapp.backends.exposing import is_loose, plaintext, unverified
from poolapp.core.backend import Exposure
from poolapp.core.config import PoolConfig


def exposures(config: PoolConfig) -> Iterator[Exposure]:
    headers = config.options.get("additional_headers") or ()
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    signs_in = any(str(name).lower() == "authorization" for name, _ in pairs)
    for location in config.where():
        secret = signs_in or location.password is not None
        if location.scheme == "ws" and secret and not location.is_local:
            yield plaintext("Write 'wss://'.", to=location.address)
    if is_loose(config.options.get("ssl")):
        yield unverified("ssl", "Make it by ssl.create_default_context(cafile=...).")
