"""What lies in the fleet's Redis, and how it is read and written.

All times are the server's own, so that the clocks of the hosts may differ; all texts are signed
with ``SECRET_KEY``, so that whoever else may write to that Redis is not believed.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

from django.core.signing import BadSignature, Signer

from poolapp.monitoring.fleet import timing
from poolapp.monitoring.fleet.link import Link
from poolapp.monitoring.fleet.place import Place

_WAKE = """
local function wake(except)
  for _, each in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    if each ~= except then
      local orders = ARGV[1] .. string.match(each, '(.*):')
      redis.call('RPUSH', orders, '')
      redis.call('PEXPIRE', orders, ARGV[2])
    end
  end
end
"""
"""Has the others look at who is there, by an order that is empty. Members are signed; their keys
have the worker alone."""

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gone = redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
"""

_BEAT = f"""{_WAKE}{_NOW}
local new = redis.call('ZADD', KEYS[1], now, ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[2])
if gone + new > 0 then wake(ARGV[3]) end
return {{redis.call('ZRANGE', KEYS[1], 0, -1), redis.call('GET', KEYS[3])}}
"""

_LEAVE = f"""{_WAKE}
redis.call('DEL', KEYS[2], KEYS[3])
if redis.call('ZREM', KEYS[1], ARGV[3]) > 0 then wake(ARGV[3]) end
"""

_ROLL = f"""{_NOW}
local found = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
local workers = {{}}
for at = 1, #found, 2 do
  local picture = redis.call('GET', ARGV[1] .. string.match(found[at], '(.*):'))
  if picture then
    workers[#workers + 1] = {{found[at], now - found[at + 1], picture}}
  end
end
return {{now, redis.call('ZRANGE', KEYS[1], 0, -1), workers, redis.call('GET', KEYS[2])}}
"""

_PRESENT = f"""{_NOW}
return {{now, redis.call('ZRANGE', KEYS[1], 0, -1)}}
"""

_PUSH = """
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Written:
    """What one worker has written, and how many seconds ago."""

    worker: str
    age: float
    picture: str


@dataclasses.dataclass(frozen=True, slots=True)
class Roll:
    """All that is there."""

    now: int
    """Milliseconds of the server's clock."""
    workers: list[str]
    written: list[Written]
    limits: str


class Store:
    """The keys of one fleet. Every method raises what ``Link.execute`` does, redis-py's errors, and
    TimeoutError after ``timing.PATIENCE``."""

    def __init__(self, link: Link, place: Place) -> None:
        self.place = place
        self._link = link
        self._signers = {
            kind: Signer(salt=f"poolapp.fleet.{place.name}.{kind}")
            for kind in ("worker", "picture", "limits", "order", "answer")
        }

    # -- membership ----------------------------------------------------------------------------

    async def beat(self, worker: str, picture: str) -> tuple[list[str], str]:
        """Be there for another ``timing.LIFETIME``, with this picture; the workers that are there,
        sorted, and what was found out of the servers' limits, or ``""``."""
        workers, limits = await self._eval(
            _BEAT,
            [self._key("workers"), self._key("picture", worker), self._key("limits")],
            [
                self._key("orders", ""),
                _lifetime(),
                self._signed("worker", worker),
                self._signed("picture", picture),
            ],
        )
        return self._believed(workers), self._read("limits", limits)

    async def leave(self, worker: str) -> None:
        await self._eval(
            _LEAVE,
            [self._key("workers"), self._key("picture", worker), self._key("orders", worker)],
            [self._key("orders", ""), _lifetime(), self._signed("worker", worker)],
        )

    async def roll(self) -> Roll:
        now, workers, written, limits = await self._eval(
            _ROLL,
            [self._key("workers"), self._key("limits")],
            [self._key("picture", ""), _lifetime()],
        )
        found = []
        for token, age, picture in written:
            worker, text = self._read("worker", token), self._read("picture", picture)
            if worker and text:
                found.append(Written(worker, int(age) / 1000, text))
        return Roll(int(now), self._believed(workers), found, self._read("limits", limits))

    async def set_limits(self, text: str, seconds: float) -> None:
        key, lifetime = self._key("limits"), int(seconds * 1000)
        await self._execute("SET", key, self._signed("limits", text), "PX", lifetime)

    # -- orders --------------------------------------------------------------------------------

    async def present(self) -> tuple[int, list[str]]:
        """Milliseconds of the server's clock, and who is there."""
        now, workers = await self._eval(_PRESENT, [self._key("workers")], ["", _lifetime()])
        return int(now), self._believed(workers)

    async def now(self) -> int:
        """Milliseconds of the server's clock."""
        seconds, microseconds = await self._execute("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def send(self, worker: str, order: str) -> None:
        key = self._key("orders", worker)
        await self._push(key, self._signed("order", order), timing.ORDER_LIFETIME)

    async def next_order(self, worker: str, seconds: float) -> str | None:
        """Wait so long for an order. None: there was none; ``""``: the fleet has changed."""
        key = self._key("orders", worker)
        found = await self._wait_for(key, seconds)
        return None if found is None else self._read("order", found)

    async def answer(self, order: str, text: str) -> None:
        key = self._key("answers", order)
        await self._push(key, self._signed("answer", text), timing.ORDER_LIFETIME)

    async def next_answer(self, order: str, seconds: float) -> str | None:
        """None: there was none in that time; ``""`` is one that is not believed."""
        found = await self._wait_for(self._key("answers", order), seconds)
        return None if found is None else self._read("answer", found)

    # -- how -----------------------------------------------------------------------------------

    def _key(self, kind: str, *which: str) -> str:
        return ":".join([self.place.key(kind), *which])

    def _believed(self, tokens: list[Any]) -> list[str]:
        return sorted(filter(None, (self._read("worker", each) for each in tokens)))

    def _signed(self, kind: str, text: str) -> str:
        return self._signers[kind].sign(text)

    def _read(self, kind: str, value: Any) -> str:
        """``""`` for what is not there, or not signed by one of us."""
        if not value:
            return ""
        try:
            text = value.decode() if isinstance(value, bytes) else str(value)
            return self._signers[kind].unsign(text)
        except (BadSignature, UnicodeDecodeError):
            return ""

    async def _push(self, key: str, text: str, seconds: float) -> None:
        await self._eval(_PUSH, [key], [text, int(seconds * 1000)])

    async def _wait_for(self, key: str, seconds: float) -> Any:
        # The server takes 0 for ever.
        found = await self._execute("BLPOP", key, max(seconds, 0.01), beyond=seconds)
        return None if found is None else found[1]

    async def _eval(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        return await self._execute("EVAL", script, len(keys), *keys, *arguments)

    async def _execute(self, *command: Any, beyond: float = 0.0) -> Any:
        async with asyncio.timeout(timing.PATIENCE + beyond):
            return await self._link.execute(self.place.alias, *command)


def _lifetime() -> int:
    return int(timing.LIFETIME * 1000)
