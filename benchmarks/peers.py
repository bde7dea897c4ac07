"""The peers' pools, each opened as its own documentation recommends, full and of the same size."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import redis.asyncio as redis
from psycopg_pool import AsyncConnectionPool
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from poolapp import Pool, PoolConfig, Registry
from poolapp.core.config import Location

ALIAS = "bench"


@asynccontextmanager
async def poolapp_custom(
    registry: Registry, url: str, size: int, *, resets: bool
) -> AsyncIterator[Pool[Any]]:
    """Ours over the very connections of asyncpg's pool, with or without the same reset."""

    async def create() -> Any:
        return await asyncpg.connect(url)

    async def reset(connection: Any) -> None:
        await connection.reset()

    async def close(connection: Any) -> None:
        await connection.close()

    alias = f"{ALIAS}_resetting" if resets else ALIAS
    registry.register(
        alias,
        create=create,
        reset=reset if resets else None,
        close=close,
        min_size=size,
        max_size=size,
    )
    try:
        yield registry[alias]
    finally:
        await registry.remove(alias)


@asynccontextmanager
async def poolapp_postgres(registry: Registry, url: str, size: int) -> AsyncIterator[Any]:
    """Ours on its PostgreSQL backend, whose pool has the driver's short cuts."""
    registry.register(
        ALIAS,
        PoolConfig(
            alias=ALIAS,
            backend="poolapp.backends.postgres.PostgresBackend",
            locations=(Location.parse(url),),
            min_size=size,
            max_size=size,
        ),
    )
    try:
        yield registry[ALIAS]
    finally:
        await registry.remove(ALIAS)


@asynccontextmanager
async def asyncpg_pool(url: str, size: int, *, resets: bool) -> AsyncIterator[Any]:
    async def leave_as_it_is(connection: Any) -> None:
        pass

    settings: dict[str, Any] = {} if resets else {"reset": leave_as_it_is}
    async with asyncpg.create_pool(url, min_size=size, max_size=size, **settings) as pool:
        yield pool


@asynccontextmanager
async def psycopg_pool(url: str, size: int) -> AsyncIterator[AsyncConnectionPool[Any]]:
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        url, min_size=size, max_size=size, open=False, kwargs={"autocommit": True}
    )
    async with pool:
        await pool.wait()
        yield pool


@asynccontextmanager
async def sqlalchemy_engine(url: str, size: int) -> AsyncIterator[AsyncEngine]:
    _, _, address = url.partition("://")
    engine = create_async_engine(
        f"postgresql+asyncpg://{address}",
        pool_size=size,
        max_overflow=0,
        isolation_level="AUTOCOMMIT",
    )
    try:
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def redis_pool(url: str, size: int) -> AsyncIterator[redis.BlockingConnectionPool]:
    pool = redis.BlockingConnectionPool.from_url(url, max_connections=size)
    try:
        yield pool
    finally:
        await pool.aclose()
