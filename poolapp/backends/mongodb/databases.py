"""Which database is meant where none is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poolapp.core.exceptions import ConfigurationError

if TYPE_CHECKING:
    from pymongo.asynchronous.database import AsyncDatabase

    from poolapp.backends.mongodb.client import PooledMongoClient
    from poolapp.core.pool import Pool


def database_of(
    pool: Pool[PooledMongoClient], client: PooledMongoClient, name: str | None
) -> AsyncDatabase[dict[str, Any]]:
    """That of the name, else that of the URL's path; raises ConfigurationError."""
    if name is not None:
        return client.get_database(name)
    from pymongo.errors import ConfigurationError as NoDatabase

    try:
        return client.get_default_database()
    except NoDatabase:
        raise ConfigurationError(
            f"pool {pool.alias!r}: LOCATION names no database; write 'mongodb://host/name', or "
            "name one in the call"
        ) from None
