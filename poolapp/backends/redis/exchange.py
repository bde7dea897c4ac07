"""A batch of commands on one connection, in one round trip.

redis-py's own pipeline does the same; it spends most of its time on a timer for each reply and on
packing each command by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from redis.exceptions import ClusterDownError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import TimeoutError as SilenceError

from poolapp.backends.redis.clients import may_repeat, pause

if TYPE_CHECKING:
    from poolapp.backends.redis.clients import PooledRedis
    from poolapp.backends.redis.coalescing import Command

PATIENT_FOR = 32
"""Replies after which the time that a silent server has begins anew."""


async def exchange(client: PooledRedis, batch: Sequence[Command]) -> None:
    """Give each command its answer, or what the server has against it. Commands that only read are
    sent again once when the connection is lost.

    Raises what redis-py raises when the connection is lost, or the server can't serve (it is no
    primary any more): then some are not answered.
    """
    repeats = client.repeats
    if repeats is not None:
        for _ in batch:
            repeats.deposit()
    try:
        await _once(client, batch)
    except LostError as error:
        if repeats is None:
            raise
        left = [command for command in batch if not command.answer.done()]
        again = [each for each in left if may_repeat(each.args, error) and repeats.withdraw()]
        if again:
            await pause()
            await _once(client, again)
        if len(again) < len(left):
            raise


async def _once(client: PooledRedis, batch: Sequence[Command]) -> None:
    pool: Any = client.connection_pool
    connection = pool.get_available_connection()
    try:
        await pool.ensure_connection(connection)
        sent, packed = _packed(connection.encoder.encode, batch)
        if sent:
            await connection.send_packed_command(packed)
            try:
                await _read(client, connection, sent)
            except BaseException:
                # Replies that nobody reads would be the next one's.
                await connection.disconnect(nowait=True)
                raise
    finally:
        await pool.release(connection)


async def _read(client: PooledRedis, connection: Any, sent: Sequence[Command]) -> None:
    read_reply = connection._parser.read_response
    converters: dict[Any, Any] = {}  # redis-py's own dictionary changes the case at each look-up
    patience = connection.socket_timeout
    loop = asyncio.get_running_loop()
    unable: ResponseError | None = None
    try:
        async with asyncio.timeout(None) as limit:
            for number, command in enumerate(sent):
                if patience is not None and number % PATIENT_FOR == 0:
                    limit.reschedule(loop.time() + patience)
                reply = await read_reply()
                answer = command.answer
                if answer.done():
                    continue
                if not isinstance(reply, ResponseError):
                    name = command.args[0]
                    if name not in converters:
                        converters[name] = client.response_callbacks.get(name)
                    convert = converters[name]
                    try:
                        if convert is not None:
                            reply = convert(reply, **command.options)
                            if asyncio.iscoroutine(reply):
                                reply = await reply
                    except Exception as error:
                        answer.set_exception(error)
                    else:
                        answer.set_result(reply)
                elif isinstance(reply, ReadOnlyError | ClusterDownError):
                    unable = reply
                else:
                    answer.set_exception(reply)
    except TimeoutError:
        raise SilenceError(f"no reply from {connection._host_error()} in {patience:g} s") from None
    except OSError as error:
        raise LostError(f"reading from {connection._host_error()} failed: {error}") from error
    if connection.health_check_interval:
        connection.next_health_check = loop.time() + connection.health_check_interval
    if unable is not None:
        raise unable


def _packed(
    encode: Callable[[Any], Any], batch: Sequence[Command]
) -> tuple[Sequence[Command], bytes]:
    """The commands whose arguments make sense, and how they are sent; the others are told."""
    sent: list[Command] = []
    pieces: list[Any] = []
    for command in batch:
        try:
            own = _pieces(encode, command.args)
        except Exception as error:
            if not command.answer.done():
                command.answer.set_exception(error)
        else:
            sent.append(command)
            pieces += own
    return sent, b"".join(pieces)


def _pieces(encode: Callable[[Any], Any], args: tuple[Any, ...]) -> list[Any]:
    words, name = _name(args[0])
    pieces: list[Any] = [b"*%d\r\n" % (words + len(args) - 1), name]
    for arg in args[1:]:
        value = arg if type(arg) is bytes else encode(arg)
        length = value.nbytes if type(value) is memoryview else len(value)
        pieces += (b"$%d\r\n" % length, value, b"\r\n")
    return pieces


@lru_cache(maxsize=1024)
def _name(first: str | bytes) -> tuple[int, bytes]:
    """Of what may be ``"CONFIG GET"``: how many words, and how they are sent."""
    words = (first if isinstance(first, bytes) else first.encode()).split()
    return len(words), b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
