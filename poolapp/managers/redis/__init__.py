"""Documents in Redis or Valkey."""

from poolapp.managers.redis.manager import RedisManager
from poolapp.managers.redis.queryset import RedisQuerySet

__all__ = ["RedisManager", "RedisQuerySet"]
