"""The bounded queue of a subscriber, and delivering to many: no server, no pool."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

import pytest

from poolapp import PoolError
from poolapp.core.subscription import HEAVY, Audience, Gap, SlowSubscriber, Subscription, weight_of


class Somewhere:
    """A source that is always there."""

    connected = True

    def __init__(self, audience: Audience) -> None:
        self.audience = audience

    async def join(self, subscription: Subscription) -> None:
        self.audience.add(subscription)

    def leave(self, subscription: Subscription) -> None:
        self.audience.discard(subscription)


@pytest.fixture
def audience() -> Audience:
    return Audience(lambda message: message[0])


def subscription(audience: Audience, **settings: Any) -> Subscription:
    return Subscription(Somewhere(audience), name="pool 'x'", **settings)


def gap(reason: str, minute: int = 0) -> Gap:
    return Gap(since=datetime.datetime(2026, 1, 1, 0, minute, tzinfo=datetime.UTC), reason=reason)


async def rest(of: Subscription) -> list[Any]:
    of.end()
    return [each async for each in of]


async def test_everyone_has_every_message_in_order(audience: Audience) -> None:
    async with subscription(audience) as one, subscription(audience) as two:
        for each in ("a", b"b", "c"):
            audience.deliver(each)
        assert await rest(one) == ["a", b"b", "c"]
        assert await rest(two) == ["a", b"b", "c"]


async def test_a_reader_that_waits_is_woken(audience: Audience) -> None:
    async with subscription(audience) as one:
        reading = asyncio.create_task(anext(one))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        audience.deliver("a")
        audience.deliver("b")
        assert await reading == "a"
        assert await anext(one) == "b"


async def test_a_reader_that_is_cancelled_loses_nothing(audience: Audience) -> None:
    async with subscription(audience) as one:
        reading = asyncio.create_task(anext(one))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        audience.deliver("a")
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await anext(one) == "a"


async def test_two_readers_are_one_too_many(audience: Audience) -> None:
    async with subscription(audience) as one:
        reading = asyncio.create_task(anext(one))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        with pytest.raises(PoolError, match="another task"):
            await anext(one)
        audience.deliver("a")
        assert await reading == "a"


async def test_a_topic_is_told_its_messages_only(audience: Audience) -> None:
    async with (
        subscription(audience) as everything,
        subscription(audience, topic="a") as a,
        subscription(audience, topic="b") as b,
    ):
        assert audience.topics == {"a", "b"}
        for each in ("a1", "b1", "c1", "a2"):
            audience.deliver(each)
        assert await rest(everything) == ["a1", "b1", "c1", "a2"]
        assert await rest(a) == ["a1", "a2"]
        assert await rest(b) == ["b1"]
    assert audience.topics == frozenset()
    assert len(audience) == 0


async def test_who_has_left_is_told_nothing(audience: Audience) -> None:
    async with subscription(audience, topic="a") as stays:
        async with subscription(audience, topic="a") as goes:
            audience.deliver("a1")
        audience.deliver("a2")
        assert await rest(goes) == ["a1"]
        assert await rest(stays) == ["a1", "a2"]


class TestSlow:
    async def test_the_oldest_go(self, audience: Audience) -> None:
        async with subscription(audience, limit=3) as one:
            for each in "abcde":
                audience.deliver(each)
            assert one.dropped == audience.dropped == 2
            assert await rest(one) == ["c", "d", "e"]
        assert audience.dropped == 2

    async def test_the_newest_go(self, audience: Audience) -> None:
        async with subscription(audience, limit=3, policy="drop_newest") as one:
            for each in "abcde":
                audience.deliver(each)
            assert one.dropped == 2
            assert await rest(one) == ["a", "b", "c"]

    async def test_the_subscriber_goes(self, audience: Audience) -> None:
        async with (
            subscription(audience, limit=3, policy="disconnect") as slow,
            subscription(audience, limit=5, policy="disconnect") as quick,
        ):
            for each in "abcde":
                audience.deliver(each)
            assert not slow.connected
            with pytest.raises(SlowSubscriber, match="3 messages behind") as info:
                await anext(slow)
            assert info.value.retryable
            assert await rest(quick) == list("abcde")

    async def test_a_subscriber_that_was_sent_away_holds_nothing_more(
        self, audience: Audience
    ) -> None:
        async with subscription(audience, limit=2, policy="disconnect") as slow:
            for each in "abcdefgh":
                audience.deliver(each)
            assert not slow._waiting
            with pytest.raises(SlowSubscriber):
                await anext(slow)

    async def test_large_messages_count_for_several(self, audience: Audience) -> None:
        large = "x" * (4 * HEAVY)
        assert weight_of(large) == 5
        async with subscription(audience, limit=10) as one:
            for _ in range(50):
                audience.deliver(large)
            assert one.dropped == 48
            assert len(await rest(one)) == 2

    async def test_one_that_is_too_large_for_the_limit_is_told_alone(
        self, audience: Audience
    ) -> None:
        async with subscription(audience, limit=2) as one:
            audience.deliver("x" * (9 * HEAVY))
            audience.deliver("y" * (9 * HEAVY))
            assert [each[0] for each in await rest(one)] == ["y"]

    async def test_the_space_that_is_read_is_free_again(self, audience: Audience) -> None:
        async with subscription(audience, limit=2) as one:
            for number in range(100):
                audience.deliver(str(number))
                assert await anext(one) == str(number)
            assert one.dropped == 0


class TestGaps:
    async def test_it_stands_where_messages_are_missing(self, audience: Audience) -> None:
        async with subscription(audience) as one, subscription(audience, topic="a") as two:
            audience.deliver("a")
            audience.tell_gap(gap("lost"))
            audience.deliver("a2")
            assert await rest(one) == ["a", gap("lost"), "a2"]
            assert await rest(two) == ["a", gap("lost"), "a2"]

    async def test_one_wakes_the_reader(self, audience: Audience) -> None:
        async with subscription(audience) as one:
            reading = asyncio.create_task(anext(one))  # type: ignore[arg-type]
            await asyncio.sleep(0)
            audience.tell_gap(gap("lost"))
            assert await reading == gap("lost")

    async def test_several_in_a_row_are_one(self, audience: Audience) -> None:
        async with subscription(audience) as one:
            audience.tell_gap(gap("first", 1))
            audience.tell_gap(gap("second", 2))
            assert await rest(one) == [gap("second", 1)]

    @pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
    async def test_it_outlives_what_is_dropped_around_it(
        self, audience: Audience, policy: Any
    ) -> None:
        async with subscription(audience, limit=2, policy=policy) as one:
            for number in range(20):
                audience.deliver(str(number))
                if number % 3 == 0:
                    audience.tell_gap(gap("lost", number))
            found = await rest(one)
            gaps = [each for each in found if isinstance(each, Gap)]
            assert gaps[0].since.minute == 0
            assert len(found) - len(gaps) == 2
            assert len(found) <= 5

    async def test_with_nothing_but_gaps_there_is_room(self, audience: Audience) -> None:
        async with subscription(audience, limit=1) as one:
            audience.tell_gap(gap("lost"))
            audience.deliver("a")
            audience.deliver("b")
            assert await rest(one) == [gap("lost"), "b"]


class TestEnds:
    async def test_what_has_arrived_is_read_first(self, audience: Audience) -> None:
        async with subscription(audience) as one:
            audience.deliver("a")
            audience.end(PoolError("gone"))
            assert await anext(one) == "a"
            with pytest.raises(PoolError, match="gone"):
                await anext(one)
            assert not one.connected

    async def test_it_wakes_the_reader(self, audience: Audience) -> None:
        async with subscription(audience) as one:
            reading = asyncio.create_task(rest_of(one))
            await asyncio.sleep(0)
            audience.end()
            assert await reading == []

    async def test_nothing_is_read_before_it_is_entered(self, audience: Audience) -> None:
        with pytest.raises(PoolError, match="async with"):
            await anext(subscription(audience))

    async def test_it_is_entered_once(self, audience: Audience) -> None:
        one = subscription(audience)
        async with one:
            pass
        with pytest.raises(PoolError, match="used before"):
            async with one:
                pass

    async def test_leaving_twice_is_no_error(self, audience: Audience) -> None:
        async with subscription(audience) as one:
            one.leave()
            assert len(audience) == 0


async def rest_of(one: Subscription) -> list[Any]:
    return [each async for each in one]


@pytest.mark.parametrize("settings", [{"policy": "explode"}, {"limit": 0}])
def test_wrong_settings_are_refused(audience: Audience, settings: Any) -> None:
    with pytest.raises(ValueError):
        subscription(audience, **settings)


async def test_a_fault_of_topic_of_costs_only_topics() -> None:
    audience = Audience(lambda message: 1 / 0)
    async with subscription(audience) as everything, subscription(audience, topic="a") as a:
        with pytest.raises(ZeroDivisionError):
            audience.deliver("a")
        assert await rest(everything) == ["a"]
        assert await rest(a) == []
