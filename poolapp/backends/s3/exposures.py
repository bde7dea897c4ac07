"""What an S3 alias leaves open on the network. The secret key itself only signs and never goes out;
a session's token does."""

from __future__ import annotations

from collections.abc import Iterator

from poolapp.backends.exposing import plaintext, unverified
from poolapp.backends.s3.place import Place
from poolapp.core.backend import Exposure
from poolapp.core.config import Location, PoolConfig


def exposures(config: PoolConfig) -> Iterator[Exposure]:
    options = config.options
    if options.get("aws_session_token") is not None:
        for location in config.where():
            endpoint = options.get("endpoint_url") or Place.of(location).endpoint
            if endpoint is None:
                if options.get("use_ssl") is False:
                    yield plaintext("Leave it out.", setting="OPTIONS['use_ssl']", to="AWS")
            elif endpoint.startswith("http://") and not Location.parse(endpoint).is_local:
                yield plaintext("Have the endpoint's URL begin with 'https://'.")
    if options.get("verify") is False:
        yield unverified(
            "verify", "Give the authority's file instead: OPTIONS['verify'] = '/ca.pem'."
        )
