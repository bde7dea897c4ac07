"""Making a client: always in a thread, since it takes milliseconds, and the first one many."""

from __future__ import annotations

import asyncio
import copy
import functools
import io
import json
from typing import Any

from poolapp.backends.s3 import options
from poolapp.backends.s3.place import Place
from poolapp.backends.s3.sockets import session_class
from poolapp.core.config import PoolConfig

SMALL = 64 * 1024
"""Bytes of a body that is sent without asking first."""


def make(config: PoolConfig) -> Any:
    """A client that has opened nothing yet, for whatever loop uses it first.

    Called in a thread. The driver's way to a client is asynchronous because it may have to fetch
    credentials, from the instance's metadata say; the loop that it needs for that is a short one
    of this thread.
    """
    # Not in debug mode, which would report that this loop, of all loops, is held up.
    return asyncio.run(_make(config), debug=False)


async def _make(config: PoolConfig) -> Any:
    import aioboto3  # type: ignore[import-untyped]
    from aiobotocore.session import get_session  # type: ignore[import-untyped]

    (location,) = config.where()
    place = Place.of(location)
    given = dict(config.options)
    driver = get_session()
    driver.register_component("data_loader", _loader())
    session = aioboto3.Session(
        botocore_session=driver,
        **{name: given.pop(name) for name in options.SESSION & given.keys()},
    )
    arguments = {name: given.pop(name) for name in options.CLIENT & given.keys()}
    if place.access_key is not None and place.secret_key is not None:
        arguments["aws_access_key_id"] = place.access_key
        arguments["aws_secret_access_key"] = place.secret_key.reveal()
    if place.region is not None:
        arguments["region_name"] = place.region
    if place.endpoint is not None:
        arguments["endpoint_url"] = place.endpoint
    arguments["config"] = _config(config, given, own=bool(arguments.get("endpoint_url")))
    # The context manager opens nothing: what it would close is closed by ``close``.
    client = await session.client("s3", **arguments).__aenter__()
    _remember_endpoints(client)
    client.meta.events.register_last("before-call.s3", _send_at_once)
    return client


def _send_at_once(params: dict[str, Any], **kwargs: Any) -> None:
    """Not ask the server, in a round trip of its own, whether a small body is welcome, as the
    driver does for every body, however small."""
    headers, body = params["headers"], params.get("body")
    if "Expect" in headers and isinstance(body, io.BytesIO) and body.getbuffer().nbytes <= SMALL:
        del headers["Expect"]


def _remember_endpoints(client: Any) -> None:
    """Have the driver find out where a bucket is once, and not once for each key.

    It keeps the answers of its rules by all that they may be asked with, the key and the prefix
    among it, though no rule looks at those; to go through the rules is a third of what a request
    costs.
    """
    resolver = getattr(client, "_ruleset_resolver", None)
    if resolver is not None:
        for name in _never_looked_at():
            resolver._provider.ruleset.parameters.pop(name, None)


@functools.cache
def _never_looked_at() -> frozenset[str]:
    description = _loader().load_service_model("s3", "endpoint-rule-set-1")
    rules = json.dumps(description["rules"])
    return frozenset(
        name
        for name in description["parameters"]
        if f'"{name}"' not in rules and f"{{{name}" not in rules
    )


def _config(config: PoolConfig, given: dict[str, Any], *, own: bool) -> Any:
    """The driver's configuration; ``own`` says that the server is none of AWS."""
    import aiobotocore  # type: ignore[import-untyped]
    from aiobotocore.config import AioConfig  # type: ignore[import-untyped]

    chosen: dict[str, Any] = {
        "connect_timeout": config.connect_timeout,
        "http_session_cls": session_class(),
        "max_pool_connections": config.max_size,
        # Three attempts with full jitter and a quota; the driver's default makes five, and has no
        # quota: an outage would multiply the load.
        "retries": {"mode": "standard", **(given.pop("retries", None) or {})},
        # The driver would put its own together anew, twice for each request, which takes longer
        # than all that the pool does.
        "user_agent": f"poolapp aiobotocore/{aiobotocore.__version__}",
    }
    if own:
        # A host name for each bucket needs a DNS that has them, and a certificate.
        chosen["s3"] = {"addressing_style": "path", **(given.pop("s3", None) or {})}
        # Presigned URLs too: the driver would sign them in the way that came before.
        chosen["signature_version"] = "s3v4"
        # The signature holds a SHA-256 of the body already. A CRC beside it is what servers that
        # are not AWS's most often stumble over.
        chosen["request_checksum_calculation"] = "when_required"
    return AioConfig(**{**chosen, **given})


@functools.cache
def _loader() -> Any:
    """The driver's descriptions of the service, read from disk and parsed once in the process:
    that is most of what a client costs."""
    from botocore.loaders import create_loader  # type: ignore[import-untyped]

    return create_loader()


def asking_once(client: Any) -> Any:
    """The same client, on the same sockets, that repeats nothing: what fails is told at once."""
    asking = copy.copy(client)
    asking._endpoint = copy.copy(client._endpoint)
    asking._endpoint._needs_retry = _never
    return asking


async def _never(*args: object, **named: object) -> bool:
    return False
