"""What an operator may want to change, in sentences, from what was measured. Nothing acts on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from poolapp.core.stats import PoolStats
from poolapp.monitoring.usage import Window
from poolapp.monitoring.words import duration

LEAST_ACQUIRES = 100
"""Below so many in the window nothing is said."""

LONG_WAIT = 0.1
"""Seconds: below, the longest waits of a hundred acquires are nothing to talk about."""

QUEUED_SHARE = 0.10
"""Of the acquires: so many wait, or"""
TIMED_OUT_SHARE = 0.01
"""so many time out, when the pool is too small."""

NEW_SHARE = 0.25
"""Of the acquires: so many connects, and connections are hardly used again."""

LARGE_AFTER = 1800.0
"""Seconds without a peak before a pool is called too large."""

LARGE_TIMES = 3
"""``MAX_SIZE`` is so many times what was ever open, and"""
LARGE_SPARE = 10
"""so many more; with the default size nobody is bothered."""


def advise(found: Sequence[PoolStats], window: Window) -> tuple[str, ...]:
    """For operators, from the statistics of an alias's pools on all loops, and from what they did
    of late. Empty when there is nothing to say, or too little is known."""
    if not found or window.use.acquired + window.use.timed_out < LEAST_ACQUIRES:
        return ()
    return (*_waits(found, window), *_reuse(found, window), *_size(found, window))


def _waits(found: Sequence[PoolStats], window: Window) -> Iterator[str]:
    """Too small, or slow to grow."""
    use, limit = window.use, _limit(found)
    asked = use.acquired + use.timed_out
    full = window.peak >= limit
    longest = use.wait(0.99)
    waited = f"1 in 100 acquires waited for {duration(longest)} or longer"
    held = f"hold connections shorter: each is held for {duration(use.mean_use)} on average"
    long = longest >= LONG_WAIT
    late = use.timed_out >= TIMED_OUT_SHARE * asked
    if full and (late or (long and use.queued >= QUEUED_SHARE * asked)):
        facts = [f"{use.queued / asked:.0%} of {asked} acquires queued"]
        facts += [waited] if longest else []
        facts += [f"{use.timed_out} timed out"] if use.timed_out else []
        yield (
            f"MAX_SIZE {limit} is too small for it: in {_while(window)} all were open, "
            f"{', '.join(facts)}. Raise it, or {held}."
        )
    elif full and long:
        yield (
            f"In {_while(window)} {waited}, with all {limit} connections open. Raise MAX_SIZE, or "
            f"{held}."
        )
    elif long:
        yield (
            f"In {_while(window)} {waited}, although at most {window.peak} of {limit} connections "
            f"were open: they waited for connects, which take {duration(use.mean_connect)} on "
            f"average. Raise MIN_SIZE, which is {found[0].min_size}, or set PREWARM."
        )


def _reuse(found: Sequence[PoolStats], window: Window) -> Iterator[str]:
    use = window.use
    # Those that made the pool as large as it was are no second ones.
    again = use.connected - (1 if found[0].shared else window.peak)
    if again < NEW_SHARE * max(use.acquired, 1):
        return
    closed = max(use.closed, key=lambda reason: use.closed[reason], default="")
    yield (
        f"Connections are hardly used again: in {_while(window)} {use.acquired} acquires took "
        f"{use.connected} connects.{_REMEDIES.get(closed, '')}"
    )


_REMEDIES = {
    "idle": " Most were closed because they idled: raise IDLE_TIMEOUT or MIN_SIZE.",
    "lifetime": " Most were closed because of their age: raise MAX_LIFETIME.",
    "lost": (
        " Most were lost: the server, or what is on the way to it, hangs up. A MAX_LIFETIME or an "
        "IDLE_TIMEOUT below its limit is before it."
    ),
    "dirty": (
        " Most came back in a state that could not be cleaned: end what is begun, a transaction "
        "say, before they are released."
    ),
    "budget": (
        " Most were closed to let another event loop of the process have one: raise MAX_SIZE, or "
        "have one loop serve all, LOOPS 'shared'."
    ),
    "shutdown": (
        " Most were closed with their event loop: LOOPS 'shared' has the process's own serve all."
    ),
}
"""By the reason for which most connections were closed."""


def _size(found: Sequence[PoolStats], window: Window) -> Iterator[str]:
    """A shared client's seats cost its server nothing until they are used."""
    limit, peak = _limit(found), window.peak
    if found[0].shared or window.seconds < LARGE_AFTER:
        return
    if limit >= LARGE_TIMES * peak and limit - peak >= LARGE_SPARE:
        enough = max(found[0].min_size, peak + max(2, -(-peak // 2)))
        yield (
            f"MAX_SIZE {limit} is more than it needs: in {_while(window)} at most {peak} were open "
            f"at a time. {enough} would leave some spare, and the server more for others."
        )


def _limit(found: Sequence[PoolStats]) -> int:
    """Of the process, over all loops."""
    return max(each.max_size for each in found)


def _while(window: Window) -> str:
    minutes = round(window.seconds / 60)
    if minutes >= 55:
        return "the last hour"
    return f"the last {minutes} minutes" if minutes > 1 else "the last minute"
