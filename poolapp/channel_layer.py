"""channels_redis' channel layer on a Redis alias of POOLS.

::

    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "poolapp.channel_layer.RedisChannelLayer",
            "CONFIG": {"pool": "cache"},
        }
    }
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from channels_redis.core import (  # type: ignore[import-untyped]
    RedisChannelLayer as ChannelsRedisLayer,
)

from poolapp.backends.redis import RedisPool
from poolapp.conf import InvalidPoolError
from poolapp.core.registry import pools

if TYPE_CHECKING:
    from poolapp.backends.redis.facade import Commands


class RedisChannelLayer(ChannelsRedisLayer):  # type: ignore[misc]
    """channels_redis' own layer, whose every command borrows a connection of the alias.

    So its connections are bounded by ``MAX_SIZE``, counted, closed with their event loop, and found
    again after an outage; channels_redis by itself opens a pool of its own for each loop. A process
    whose consumers listen holds one connection most of the time: that on which it waits for
    messages.

    ``CONFIG`` takes ``pool``, the alias, and all that channels_redis takes but for ``hosts``.
    Raises BackendUnavailable (or PoolTimeout) in an outage, where channels_redis raises redis-py's
    ConnectionError.
    """

    def __init__(self, pool: str, **config: Any) -> None:
        if "hosts" in config:
            raise InvalidPoolError(
                "CHANNEL_LAYERS: CONFIG has 'hosts' beside 'pool'; how to connect is set in "
                f"POOLS[{pool!r}], so remove 'hosts'"
            )
        self._alias = pool
        super().__init__(hosts=[{"pool": pool}], **config)

    def connection(self, index: int) -> Commands:
        """The commands of the alias's pool on the running loop."""
        pool = pools[self._alias]
        if not isinstance(pool, RedisPool):
            raise InvalidPoolError(
                f"CHANNEL_LAYERS: CONFIG['pool'] is {self._alias!r}, which is no Redis alias; name "
                "one whose BACKEND is 'poolapp.backends.redis.RedisBackend'"
            )
        if pool.config.options.get("decode_responses"):
            raise InvalidPoolError(
                f"CHANNEL_LAYERS: messages are bytes, which the alias {self._alias!r} decodes; "
                "remove OPTIONS['decode_responses'] there, or give the layer an alias of its own"
            )
        if pool.is_cluster:
            raise InvalidPoolError(
                f"CHANNEL_LAYERS: CONFIG['pool'] is {self._alias!r}, a cluster, which refuses the "
                "scripts of channels_redis; name an alias of one server"
            )
        return pool.commands
