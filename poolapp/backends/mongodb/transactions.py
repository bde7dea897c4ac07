"""One transaction on a borrowed client."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import random
from typing import TYPE_CHECKING, Any

from poolapp.core.exceptions import BackendUnavailable
from poolapp.core.resilience import repeat_delay
from poolapp.core.supply import describe

if TYPE_CHECKING:
    from pymongo.asynchronous.client_session import AsyncClientSession

    from poolapp.backends.mongodb.client import PooledMongoClient
    from poolapp.core.lease import Lease
    from poolapp.core.pool import Pool


@asynccontextmanager
async def transaction(
    lease: Lease[PooledMongoClient], *options: Any
) -> AsyncIterator[AsyncClientSession]:
    """``options`` are the arguments of the driver's ``start_transaction``."""
    pool = lease.pool
    client = await lease.__aenter__()
    committing = False
    try:
        async with client.start_session() as session:
            await session.start_transaction(*options)
            try:
                yield session
            except BaseException:
                await _abort(session, pool.config.check_timeout)
                raise
            if session.in_transaction:
                committing = True
                await _commit(session, pool)
    except BaseException as error:
        lease.release(error)
        if committing and isinstance(error, Exception) and pool.backend.breaks(client, error):
            raise BackendUnavailable(
                f"pool {pool.alias!r}: the server was lost during a commit, which may or may not "
                f"have taken effect: {describe(error, pool.config.scrub)}"
            ) from error
        raise
    lease.release()


async def _abort(session: AsyncClientSession, seconds: float) -> None:
    import pymongo

    if session.in_transaction:
        # The server forgets an open transaction by itself; the error matters more.
        with pymongo.timeout(seconds):
            await session.abort_transaction()


async def _commit(session: AsyncClientSession, pool: Pool[PooledMongoClient]) -> None:
    """Commit; again where the result is unknown, which commits once at most."""
    from pymongo.errors import ExecutionTimeout, PyMongoError

    deadline = pool.clock() + pool.config.connect_timeout
    for attempt in itertools.count(1):
        try:
            await session.commit_transaction()
        except PyMongoError as error:
            unknown = error.has_error_label("UnknownTransactionCommitResult")
            # max_commit_time_ms is over: whoever set it wants to hear of that.
            if not unknown or isinstance(error, ExecutionTimeout) or pool.clock() >= deadline:
                raise
        else:
            return
        await asyncio.sleep(repeat_delay(attempt, random))
