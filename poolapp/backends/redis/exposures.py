"""What a Redis alias leaves open on the network."""

from __future__ import annotations

from collections.abc import Iterator
from ssl import CERT_NONE, CERT_OPTIONAL

from poolapp.backends.exposing import plaintext, unverified
from poolapp.core.backend import Exposure
from poolapp.core.config import PoolConfig

_LOOSE = (None, "none", "optional", CERT_NONE, CERT_OPTIONAL)
_CREDENTIALS = ("password", "credential_provider")


def exposures(config: PoolConfig) -> Iterator[Exposure]:
    options = config.options
    signs_in = any(options.get(name) is not None for name in _CREDENTIALS)
    for location in config.where():
        secret = signs_in or location.password is not None
        plain = location.scheme.startswith("redis") and not location.scheme.startswith("rediss")
        if plain and secret and not location.is_local and options.get("ssl") is not True:
            yield plaintext(
                "Write 'rediss://', and give the authority's file as OPTIONS['ssl_ca_certs'].",
                to=location.address,
            )
        for name, value in (("ssl_cert_reqs", "none"), ("ssl_check_hostname", "false")):
            if location.query.get(name, "").lower() in (value, "optional"):
                yield unverified(name, _HINT, setting="LOCATION")
    if "ssl_cert_reqs" in options and options["ssl_cert_reqs"] in _LOOSE:
        yield unverified("ssl_cert_reqs", _HINT)
    if options.get("ssl_check_hostname") is False:
        yield unverified("ssl_check_hostname", _HINT)


_HINT = "Leave it out, and give the authority's file as ssl_ca_certs."
