"""Redis and Valkey: ``poolapp.backends.redis.RedisBackend``."""

from poolapp.backends.redis.backend import RedisBackend
from poolapp.backends.redis.messages import Message, Messages
from poolapp.backends.redis.pool import RedisPool
from poolapp.core.subscription import Gap, SlowSubscriber

__all__ = ["Gap", "Message", "Messages", "RedisBackend", "RedisPool", "SlowSubscriber"]
