"""Redis and Valkey: ``poolapp.backends.redis.RedisBackend``."""

from poolapp.backends.redis.backend import RedisBackend
from poolapp.backends.redis.messages import Message, Messages
from poolapp.backends.redis.pool import RedisPool

__all__ = ["Message", "Messages", "RedisBackend", "RedisPool"]
