"""One source of messages, many who listen: a bounded queue for each, and what happens when it is
full."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections import deque
from collections.abc import Callable, Hashable
from types import TracebackType
from typing import Any, ClassVar, Literal, Protocol, Self, get_args

from poolapp.core.exceptions import PoolError

Message = str | bytes

Policy = Literal["drop_oldest", "drop_newest", "disconnect"]

HEAVY = 65_536
"""Characters or bytes. A message counts as one more for each full so many, so that ``limit`` bounds
the memory also where messages are large."""


class SlowSubscriber(PoolError):
    """A subscription with the policy ``disconnect`` fell too far behind, and was ended."""

    retryable: ClassVar[bool] = True


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """Stands in a subscriber's stream where messages may be missing."""

    since: datetime.datetime
    """When the last message before it came, or the connection was opened; UTC."""
    reason: str
    """Why: the connection was lost, say. Without secrets."""

    def joined(self, later: Gap) -> Gap:
        """Both in one, where no message stands between them."""
        return Gap(since=self.since, reason=later.reason)


class Source(Protocol):
    """Where a subscription gets its messages from."""

    @property
    def connected(self) -> bool: ...

    async def join(self, subscription: Subscription) -> None: ...

    def leave(self, subscription: Subscription) -> None: ...


class Subscription:
    """``async with pool.subscribe(...) as subscription: async for each in subscription``.

    Gives ``str`` for a text message, ``bytes`` for a binary one, and a ``Gap`` wherever messages
    may be missing. What arrives while the reader is busy waits: at most ``limit`` messages, large
    ones counted as several (one more for each 64 KiB). Beyond that ``policy`` says what goes:
    ``drop_oldest`` or ``drop_newest``, both counted in ``dropped``, or ``disconnect``: the
    iteration raises SlowSubscriber. A Gap is never dropped.

    The iteration ends when the pool begins to close; it raises BackendUnavailable when the source
    is lost and is not to be connected again. ``async with`` raises what ``acquire`` raises.
    """

    def __init__(
        self,
        source: Source,
        *,
        name: str,
        topic: Hashable = None,
        limit: int = 1000,
        policy: Policy = "drop_oldest",
    ) -> None:
        if policy not in get_args(Policy):
            raise ValueError(f"policy must be one of {', '.join(get_args(Policy))}, not {policy!r}")
        if limit < 1:
            raise ValueError(f"limit must be 1 or more messages, not {limit!r}")
        self.topic = topic
        self.limit = limit
        self.policy = policy
        self.dropped = 0
        """Messages that were never read because too many waited already."""
        self._name = name
        self._source = source
        self._waiting: deque[Message | Gap] = deque()
        self._load = 0
        """What waits, counted by weight."""
        self._reader: asyncio.Future[None] | None = None
        self._entered = False
        self._over = False
        self._error: PoolError | None = None

    @property
    def connected(self) -> bool:
        """Whether messages can arrive now; False while the source is being connected again."""
        return not self._over and self._source.connected

    async def __aenter__(self) -> Self:
        if self._entered:
            raise PoolError(f"this subscription of {self._name} was used before; make another one")
        self._entered = True
        await self._source.join(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """What the end of ``async with`` does; may be called again."""
        self._source.leave(self)
        self.end()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message | Gap:
        waiting = self._waiting
        while not waiting:
            if self._error is not None:
                raise self._error
            if self._over:
                raise StopAsyncIteration
            await self._arrival()
        first = waiting.popleft()
        if not isinstance(first, Gap):
            self._load -= 1 if len(first) < HEAVY else weight_of(first)  # each call counts here
        return first

    async def _arrival(self) -> None:
        if not self._entered:
            raise PoolError("subscribe() is used with 'async with': nothing is subscribed to here")
        if self._reader is not None:
            raise PoolError(f"this subscription of {self._name} is read by another task already")
        self._reader = asyncio.get_running_loop().create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    # -- the source's side; each is called for every subscriber, and awaits nothing ------------

    def push(self, message: Message, weight: int) -> None:
        """Add a message; ``weight`` is ``weight_of(message)``, which the source asks once."""
        load = self._load + weight
        if load > self.limit and not self._make_room(weight):
            return
        self._load += weight
        self._waiting.append(message)
        reader = self._reader
        if reader is not None and not reader.done():
            reader.set_result(None)

    def _make_room(self, weight: int) -> bool:
        """The queue is full; whether the new message may come in all the same."""
        if self._over:
            return False
        if not self._load:  # one that is heavier than the limit is better than none at all
            return True
        if self.policy == "drop_newest":
            self.dropped += 1
            return False
        if self.policy == "disconnect":
            self.dropped += 1 + sum(not isinstance(each, Gap) for each in self._waiting)
            self._waiting.clear()
            self._load = self.limit  # so that this is where the next message ends too
            self.end(
                SlowSubscriber(
                    f"{self._name}: a subscriber was {self.limit} messages behind, and was "
                    "disconnected"
                )
            )
            return False
        gap: Gap | None = None
        while self._load and self._load + weight > self.limit:
            first = self._waiting.popleft()
            if isinstance(first, Gap):
                gap = first if gap is None else gap.joined(first)
            else:
                self._load -= weight_of(first)
                self.dropped += 1
        if gap is not None:
            self._waiting.appendleft(gap)
        return True

    def push_gap(self, gap: Gap) -> None:
        if self._over:
            return
        if self._waiting and isinstance(last := self._waiting[-1], Gap):
            self._waiting[-1] = last.joined(gap)
        else:
            self._waiting.append(gap)
        self._wake()

    def end(self, error: PoolError | None = None) -> None:
        """End the iteration once what waits is read, with this error if there is one."""
        if not self._over:
            self._over = True
            self._error = error
            self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


def weight_of(message: Message) -> int:
    """How many messages it counts for."""
    return 1 + len(message) // HEAVY


class Audience:
    """All who listen to one source, and by what topic.

    Who listens to a topic is told the messages for which ``topic_of`` gives that topic, who
    listens to none is told all. Delivering takes no task and no await: what it costs for each
    subscriber is what limits how many there may be.
    """

    def __init__(self, topic_of: Callable[[Message], Any] | None = None) -> None:
        self._topic_of = topic_of
        # Replaced, never changed: a subscriber may leave while a message is being delivered.
        self._general: tuple[Subscription, ...] = ()
        self._by_topic: dict[Hashable, tuple[Subscription, ...]] = {}
        self._dropped_by_gone = 0

    def __len__(self) -> int:
        return len(self._general) + sum(map(len, self._by_topic.values()))

    def everyone(self) -> list[Subscription]:
        return [*self._general, *(each for some in self._by_topic.values() for each in some)]

    @property
    def topics(self) -> frozenset[Hashable]:
        return frozenset(self._by_topic)

    @property
    def dropped(self) -> int:
        """By all, those that have gone included."""
        return self._dropped_by_gone + sum(each.dropped for each in self.everyone())

    def add(self, subscription: Subscription) -> None:
        topic = subscription.topic
        if topic is None:
            self._general = (*self._general, subscription)
        else:
            self._by_topic[topic] = (*self._by_topic.get(topic, ()), subscription)

    def discard(self, subscription: Subscription) -> None:
        topic = subscription.topic
        before = self._general if topic is None else self._by_topic.get(topic, ())
        after = tuple(each for each in before if each is not subscription)
        if len(after) == len(before):
            return
        self._dropped_by_gone += subscription.dropped
        if topic is None:
            self._general = after
        elif after:
            self._by_topic[topic] = after
        else:
            del self._by_topic[topic]

    def deliver(self, message: Message) -> None:
        """Raises what ``topic_of`` raises, after those who listen to no topic have the message."""
        weight = weight_of(message)
        for each in self._general:
            each.push(message, weight)
        if self._by_topic and self._topic_of is not None:
            for each in self._by_topic.get(self._topic_of(message), ()):
                each.push(message, weight)

    def tell_gap(self, gap: Gap) -> None:
        for each in self.everyone():
            each.push_gap(gap)

    def end(self, error: PoolError | None = None) -> None:
        """End every subscription."""
        for each in self.everyone():
            each.end(error)
