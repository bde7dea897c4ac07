"""What the URL of an S3 alias says."""

from __future__ import annotations

import dataclasses
from urllib.parse import unquote, urlsplit

from poolapp.core.config import Location, Secret

SCHEMES = ("s3", "http", "https")

PARAMETERS = {"s3": frozenset({"region", "endpoint"}), "http": frozenset({"region"})}
PARAMETERS["https"] = PARAMETERS["http"]
"""What may stand behind the ``?`` of a URL, by its scheme."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where the objects are, and who asks for them; None is what the URL doesn't say."""

    bucket: str | None
    """Of the short cuts, when they name no other."""
    endpoint: str | None
    """URL of a server of one's own; None: AWS, or wherever its environment points to."""
    region: str | None
    access_key: str | None
    secret_key: Secret[str] | None

    @classmethod
    def of(cls, location: Location) -> Place:
        """Raises ValueError for a URL that names no place."""
        endpoint: str | None
        if location.scheme == "s3":
            if location.path.strip("/"):
                raise ValueError("a path behind the bucket means nothing")
            bucket = location.address
            endpoint = location.query.get("endpoint")
            if endpoint is not None:
                _check_endpoint(endpoint)
        elif location.scheme in SCHEMES:
            bucket = location.path.strip("/")
            if "/" in bucket:
                raise ValueError("its path is the name of one bucket")
            if not all(host for host, _ in location.hosts(443)) or "," in location.address:
                raise ValueError("it names one host")
            endpoint = f"{location.scheme}://{location.address}"
        else:
            raise ValueError(f"it has the scheme {location.scheme!r}")
        if (location.username is None) != (not location.password):
            raise ValueError("an access key and a secret key go together")
        return cls(
            bucket=unquote(bucket) or None,
            endpoint=endpoint,
            region=location.query.get("region") or None,
            access_key=location.username,
            secret_key=location.password,
        )


def _check_endpoint(endpoint: str) -> None:
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an endpoint is an 'https://' or 'http://' URL")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the keys stand in front of the bucket, not in the endpoint")
