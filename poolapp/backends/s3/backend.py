"""S3, on aioboto3: how to connect, and which errors mean what."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from poolapp.backends import aiohttp_sockets
from poolapp.backends.s3 import options
from poolapp.backends.s3.client import asking_once, make
from poolapp.backends.s3.exposures import exposures
from poolapp.backends.s3.place import SCHEMES, Place
from poolapp.backends.s3.pool import S3Pool
from poolapp.backends.s3.sockets import connectors
from poolapp.core.backend import BaseBackend, Exposure, Problem, Sockets
from poolapp.core.config import Location, PoolConfig

if TYPE_CHECKING:
    from botocore.exceptions import ClientError  # type: ignore[import-untyped]

_BAD_KEYS = frozenset(
    {
        "AccountProblem", "AllAccessDisabled", "ExpiredToken", "InvalidAccessKeyId",
        "InvalidSecurity", "InvalidToken", "NotSignedUp", "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)  # fmt: skip
"""What S3 answers to keys that will not be good the next time either."""

_GATEWAY = frozenset({502, 503, 504})
"""The HTTP statuses of whatever stands in front of a server that can't be reached."""

_THROTTLED = frozenset({"RequestLimitExceeded", "SlowDown", "Throttling"})
"""Codes with status 503 from a server that is there."""


class S3Backend(BaseBackend[Any]):
    """One aioboto3 S3 client for each event loop, lent to up to ``MAX_SIZE`` holders at once.

    ``OPTIONS`` are the keyword arguments of ``session.client("s3", ...)`` and of ``AioConfig``,
    and ``profile_name``. ``max_pool_connections`` is ``MAX_SIZE`` unless set, so that nobody who
    holds a lease queues inside the client.
    """

    shared = True
    driver = "aioboto3"
    extra = "s3"
    schemes = SCHEMES
    environment: ClassVar[Mapping[str, str]] = {"S3_POOL_MAX_CONNECTIONS": "MAX_SIZE"}
    pool_class: ClassVar[type[S3Pool]] = S3Pool

    @classmethod
    def problems(cls, config: PoolConfig) -> list[Problem]:
        return list(options.problems(config))

    @classmethod
    def exposures(cls, config: PoolConfig) -> list[Exposure]:
        return list(exposures(config))

    def __init__(self, config: PoolConfig) -> None:
        super().__init__(config)
        self._known_bucket: tuple[Location | None, str | None] = None, None

    @property
    def bucket(self) -> str | None:
        """The bucket that LOCATION names."""
        (location,) = self.config.where()
        known, bucket = self._known_bucket
        if known is not location:
            bucket = Place.of(location).bucket
            self._known_bucket = location, bucket
        return bucket

    # -- connecting ----------------------------------------------------------------------------

    async def connect(self) -> Any:
        """Make the client and have it answered once: a client by itself connects to nothing."""
        client = await asyncio.to_thread(make, self.config)
        try:
            await self._listed(asking_once(client))
        except BaseException as error:
            if not _is_answer(error):
                self.terminate(client)
                raise
        return client

    async def _listed(self, client: Any) -> Any:
        """A request whose refusal says why, as that of a HEAD does not."""
        bucket = self.bucket
        if bucket is None:
            return await client.list_buckets(MaxBuckets=1)
        return await client.list_objects_v2(Bucket=bucket, MaxKeys=1)

    def is_hopeless(self, error: BaseException) -> bool:
        from botocore import exceptions  # type: ignore[import-untyped]

        if isinstance(error, exceptions.ClientError):
            return _code(error) in _BAD_KEYS
        if isinstance(error, exceptions.SSLError):
            return "certificate" in str(error).lower()
        passing = (
            exceptions.ConnectionError,
            exceptions.CredentialRetrievalError,
            exceptions.HTTPClientError,
            exceptions.MetadataRetrievalError,
        )
        # No credentials, an unknown profile, an impossible region: the driver's ways of refusing a
        # configuration are many.
        hopeless = exceptions.BotoCoreError | ImportError | TypeError | ValueError
        return isinstance(error, hopeless) and not isinstance(error, passing)

    # -- living --------------------------------------------------------------------------------

    async def check(self, connection: Any) -> None:
        """``HEAD`` of the bucket. That there is none, or that the key may not see it, is an
        answer too."""
        asking = asking_once(connection)
        bucket = self.bucket
        try:
            if bucket is None:
                await asking.list_buckets(MaxBuckets=1)
            else:
                await asking.head_bucket(Bucket=bucket)
        except Exception as error:
            if not _is_answer(error):
                raise

    def breaks(self, connection: Any, error: BaseException) -> bool:
        """Whether the server could not be reached: then the client is checked before it is lent
        again."""
        import aiohttp
        from botocore import exceptions

        if isinstance(error, exceptions.ClientError):
            return _is_gateway(error)
        if type(error) is exceptions.HTTPClientError:
            # Wraps whatever was raised while a request was sent, also by the body of a caller.
            return isinstance(error.__context__, OSError | aiohttp.ClientError)
        lost = (
            aiohttp.ClientError,
            exceptions.ConnectionError,
            exceptions.HTTPClientError,
            exceptions.IncompleteReadError,
        )
        return isinstance(error, lost)

    # -- ending --------------------------------------------------------------------------------

    async def close(self, connection: Any) -> None:
        await connection.close()

    def terminate(self, connection: Any) -> None:
        for connector in connectors(connection):
            aiohttp_sockets.abort(connector)

    def abandon(self, connection: Any) -> None:
        for connector in connectors(connection):
            aiohttp_sockets.abandon(connector)

    # -- asking --------------------------------------------------------------------------------

    def sockets(self, connection: Any) -> Sockets:
        return aiohttp_sockets.count(connectors(connection))

    async def health(
        self, connection: Any
    ) -> tuple[Literal["healthy", "degraded", "unhealthy"], str]:
        """Unhealthy when the bucket of LOCATION does not exist, or the keys are refused."""
        from botocore.exceptions import ClientError

        try:
            await self._listed(asking_once(connection))
        except ClientError as error:
            code = _code(error)
            if code == "NoSuchBucket":
                return "unhealthy", f"there is no bucket {self.bucket!r}"
            if code in _BAD_KEYS:
                return "unhealthy", f"the keys are refused: {code}"
            if not _is_answer(error):
                raise
            if code in _THROTTLED:
                return "degraded", f"the server limits the rate of requests: {code}"
            if code == "AccessDenied":
                what = "the buckets" if self.bucket is None else f"the bucket {self.bucket!r}"
                return "healthy", f"the key may not list {what}"
            return "degraded", f"the server refused to list: {code}"
        return "healthy", ""

    async def server_info(self, connection: Any) -> Mapping[str, Any]:
        """``version``: the software's name, and its version where it tells."""
        from botocore.exceptions import ClientError

        try:
            answer = await self._listed(asking_once(connection))
        except ClientError as error:
            answer = error.response
        server = answer["ResponseMetadata"]["HTTPHeaders"].get("server")
        return {} if server is None else {"version": server}


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _is_gateway(error: ClientError) -> bool:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    # The answer to a HEAD has no body to say why, and may well be that of a server that is there.
    there = _code(error) in _THROTTLED or error.operation_name.startswith("Head")
    return status in _GATEWAY and not (status == 503 and there)


def _is_answer(error: BaseException) -> bool:
    """Whether a refusal shows that the server is there and the keys are not wrong."""
    from botocore.exceptions import ClientError

    return (
        isinstance(error, ClientError) and not _is_gateway(error) and _code(error) not in _BAD_KEYS
    )
