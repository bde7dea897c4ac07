"""WebSockets, on the connections of the library websockets:
``poolapp.backends.websocket.WebSocketBackend``."""

from poolapp.backends.websocket.backend import WebSocketBackend
from poolapp.backends.websocket.pool import WebSocketPool
from poolapp.core.subscription import Gap, SlowSubscriber, Subscription

__all__ = ["Gap", "SlowSubscriber", "Subscription", "WebSocketBackend", "WebSocketPool"]
