"""One upstream for all processes of the fleet: one of them leads, and hands on what it hears
through the channel layer.

Who leads holds a lock in Redis that expires by itself, so that another one takes over when it dies.
Each process is one member of the channel layer's group, however many consumers it has; its
subscribers share what the member hears.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import logging
import time
import uuid
from collections.abc import Callable, Coroutine, Hashable
from contextvars import Context
from typing import Any

from channels.exceptions import ChannelFull
from django.conf import settings

from poolapp.core.exceptions import ConfigurationError, PoolError
from poolapp.core.registry import pools
from poolapp.core.subscription import Audience, Gap, Message, Policy, Subscription

logger = logging.getLogger("poolapp.consumers")

LOCK_SECONDS = 5.0
"""After which a lock that is not renewed is anybody's; it is renewed three times as often."""

_RENEW = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('pexpire', KEYS[1], ARGV[2])"
_RELEASE = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('del', KEYS[1])"


def subscribe_in_fleet(
    fleet: bool | str,
    layer: Any,
    alias: str,
    path: str | None = None,
    topic: Hashable = None,
    *,
    limit: int = 1000,
    policy: Policy = "drop_oldest",
) -> Subscription:
    """Like ``pools[alias].subscribe``, from the one upstream of the fleet.

    ``fleet`` is the alias of a Redis pool, or True for the one that ``POOLAPP["FLEET"]`` names;
    ``layer`` is a channel layer with groups. A subscriber is told of a gap as well when another
    process takes over, and when the channel layer dropped messages. ``connected`` is False while
    nobody leads.
    """
    lock_alias = _lock_alias(fleet)
    if layer is None or "groups" not in getattr(layer, "extensions", ()):
        raise ConfigurationError("fleet= needs a channel layer with groups in CHANNEL_LAYERS")
    if topic is not None and pools.config(alias).options.get("topic_of") is None:
        raise ValueError(f"pool {alias!r}: a topic needs OPTIONS['topic_of']")
    source = _Source(lock_alias, layer, alias, path)
    return Subscription(source, name=f"pool {alias!r}", topic=topic, limit=limit, policy=policy)


def _lock_alias(fleet: bool | str) -> str:
    if isinstance(fleet, str):
        return fleet
    named = (getattr(settings, "POOLAPP", None) or {}).get("FLEET")
    if not named:
        raise ConfigurationError(
            "fleet = True needs the setting POOLAPP = {'FLEET': alias of a Redis pool}"
        )
    return str(named)


class _Source:
    """Where a subscription joins: the member of this loop, made when the first one does."""

    def __init__(self, lock_alias: str, layer: Any, alias: str, path: str | None) -> None:
        self._made_of = (lock_alias, layer, alias, path)
        self._member: Member | None = None

    @property
    def connected(self) -> bool:
        return self._member is not None and self._member.connected

    async def join(self, subscription: Subscription) -> None:
        loop = asyncio.get_running_loop()
        key = (loop, *self._made_of)
        member = _members.get(key)
        if member is None:
            member = _members[key] = Member(*self._made_of, forget=lambda: _members.pop(key, None))
        self._member = member
        await member.join(subscription)

    def leave(self, subscription: Subscription) -> None:
        if self._member is not None:
            self._member.leave(subscription)


_members: dict[Any, Member] = {}
"""By loop, lock's alias, channel layer, pool's alias and path; each only while it has subscribers,
and gone with the tasks of its loop."""


class Member:
    """What one process hears of the upstream, and its candidature to be the one that listens."""

    def __init__(
        self,
        lock_alias: str,
        layer: Any,
        alias: str,
        path: str | None,
        *,
        forget: Callable[[], Any],
    ) -> None:
        place = hashlib.sha256(f"{alias}\n{path or ''}".encode()).hexdigest()[:16]
        self.name = f"poolapp.relay.{place}"
        """Of the group, and of the lock."""
        self.token = uuid.uuid4().hex
        self.leads = False
        pool: Any = pools[alias]
        self.audience = Audience(pool.topic_of)
        self._lock_alias = lock_alias
        self._layer = layer
        self._alias = alias
        self._path = path
        self._forget = forget
        self._sent = 0
        self._leader = ""
        """The token of whoever was heard last."""
        self._heard = 0
        """The number of its last message."""
        self._last_sign: float | None = None
        self._complained = ""
        self._joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # In an empty context: it outlives the consumer that happens to be the first.
        self._task = asyncio.get_running_loop().create_task(self._run(), context=Context())
        self._task.add_done_callback(self._ended)

    @property
    def connected(self) -> bool:
        return self._last_sign is not None and time.time() - self._last_sign < LOCK_SECONDS

    async def join(self, subscription: Subscription) -> None:
        self.audience.add(subscription)
        try:
            await asyncio.shield(self._joined)
        except BaseException:
            self.leave(subscription)
            raise

    def leave(self, subscription: Subscription) -> None:
        self.audience.discard(subscription)
        if not self.audience:
            self._forget()
            self._task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._forget()
        error: PoolError | None = None
        if not task.cancelled() and (fault := task.exception()) is not None:
            logger.error(
                "The fleet's relay of pool %r failed",
                self._alias,
                exc_info=fault,
                extra={"alias": self._alias, "event": "relay_failed"},
            )
            error = PoolError(f"the fleet's relay of pool {self._alias!r} failed")
        self.audience.end(error)
        if not self._joined.done():
            self._joined.cancel()

    async def _run(self) -> None:
        channel = await self._layer.new_channel()
        try:
            await self._layer.group_add(self.name, channel)
            self._joined.set_result(None)
            await _either(self._listen(channel), self._campaign(channel))
        finally:
            await self._layer.group_discard(self.name, channel)

    # -- hearing -------------------------------------------------------------------------------

    async def _listen(self, channel: str) -> None:
        while True:
            self._hear(await self._layer.receive(channel))

    def _hear(self, event: dict[str, Any]) -> None:
        before = self._last_sign
        self._last_sign = time.time()
        if before is not None:
            if event["leader"] != self._leader:
                self._tell_gap(before, "another process of the fleet took over")
            elif event["number"] != self._heard + 1:
                self._tell_gap(before, "the channel layer dropped messages")
        self._leader, self._heard = event["leader"], event["number"]
        if "gap" in event:
            self._tell_gap(event["since"], event["gap"])
        elif "message" in event:
            try:
                self.audience.deliver(event["message"])
            except Exception:
                self._complain("topic_of failed")

    def _tell_gap(self, since: float, reason: str) -> None:
        moment = datetime.datetime.fromtimestamp(since, datetime.UTC)
        self.audience.tell_gap(Gap(since=moment, reason=reason))

    # -- leading -------------------------------------------------------------------------------

    async def _campaign(self, channel: str) -> None:
        while True:
            # A membership expires in the end (after a day, with channels_redis).
            await self._layer.group_add(self.name, channel)
            if await self._lock("SET", self.name, self.token, "NX", "PX", _milliseconds()):
                try:
                    self.leads = True
                    await _either(self._keep_lock(), self._relay())
                except PoolError as error:
                    self._complain(f"the upstream can't be reached: {error}")
                finally:
                    self.leads = False
                    # Not waited for by whoever is cancelled: the lock expires anyway.
                    await asyncio.shield(self._lock("EVAL", _RELEASE, 1, self.name, self.token))
            await asyncio.sleep(LOCK_SECONDS / 3)

    async def _keep_lock(self) -> None:
        """Returns when it is lost, or may be."""
        renewed = time.monotonic()
        while time.monotonic() - renewed < LOCK_SECONDS * 2 / 3:
            await asyncio.sleep(LOCK_SECONDS / 3)
            asked = time.monotonic()
            held = await self._lock("EVAL", _RENEW, 1, self.name, self.token, _milliseconds())
            if held:
                renewed = asked
            elif held is not None:
                return

    async def _lock(self, *command: Any) -> Any:
        """Redis' answer, False where it says no; None when it gives none."""
        pool: Any = pools[self._lock_alias]
        try:
            answer = await pool.execute(*command)
        except PoolError as error:
            self._complain(f"there is no lock: {error}")
            return None
        return answer or False

    async def _relay(self) -> None:
        pool: Any = pools[self._alias]
        async with pool.subscribe(self._path) as messages:
            self._complained = ""
            await _either(self._pass_on(messages), self._give_signs(messages))

    async def _pass_on(self, messages: Subscription) -> None:
        async for each in messages:
            if isinstance(each, Gap):
                await self._send({"gap": each.reason, "since": each.since.timestamp()})
            else:
                await self._send({"message": each})

    async def _give_signs(self, messages: Subscription) -> None:
        """So that a quiet upstream can be told from one that nobody listens to."""
        while True:
            if messages.connected:
                await self._send({})
            await asyncio.sleep(LOCK_SECONDS / 3)

    async def _send(self, event: dict[str, Message | float]) -> None:
        self._sent += 1
        head = {"type": "poolapp.relay", "leader": self.token, "number": self._sent}
        try:
            await self._layer.group_send(self.name, {**head, **event})
        except ChannelFull:
            pass  # the members notice by the number

    def _complain(self, text: str) -> None:
        if text != self._complained:
            self._complained = text
            logger.warning(
                "The fleet's relay of pool %r: %s",
                self._alias,
                text,
                extra={"alias": self._alias, "event": "relay_troubled"},
            )


async def _either(*works: Coroutine[Any, Any, None]) -> None:
    """Run all until one of them ends, and raise what it raised."""
    tasks = [asyncio.create_task(each) for each in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            each.result()
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.wait(tasks)


def _milliseconds() -> int:
    return round(LOCK_SECONDS * 1000)
