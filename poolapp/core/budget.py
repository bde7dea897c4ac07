"""How many connections one alias may have open in the process, over all its loops."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Protocol


class Member(Protocol):
    """A pool, as the budget sees it: it runs in a thread of its own."""

    @property
    def size(self) -> int: ...

    @property
    def idle(self) -> int: ...

    def wake(self, method: str) -> bool:
        """Call the method soon on the member's loop; False when that loop is closed."""


class Budget:
    """Permits, one per connection that is open, being opened or being closed.

    The only lock that pools of different loops share. It is taken when a connection is opened or
    closed, never when one is lent or returned: those read ``pressure``, a plain attribute.

    A pool that gets no permit is hungry. The next permit that comes free is granted to the hungry
    pool that has the fewest, so that the pool that gave it up can't take it back, and lies here
    until that pool fetches it with ``take``; and while anyone is hungry, ``pressure`` has the
    others close an idle connection, or, when they are richer, the next one that is returned.
    """

    def __init__(self, limit: int, connecting_limit: int) -> None:
        self._lock = threading.Lock()
        self.limit = limit
        self.connecting_limit = connecting_limit
        self.used = 0
        self.connecting = 0
        self.closing = 0
        """Of those used: permits that come free as soon as a close is done."""
        self.pressure = False
        self._members: list[Member] = []
        self._hungry: list[Member] = []
        self._granted: Counter[Member] = Counter()
        """Permits in use that were granted and are not fetched yet."""
        self._unconnected: list[Member] = []

    def join(self, member: Member) -> None:
        with self._lock:
            self._members.append(member)
            self._settle()

    def leave(self, member: Member) -> None:
        """Forget a pool that is closed and has given all its permits back."""
        with self._lock:
            for crowd in (self._members, self._hungry, self._unconnected):
                if member in crowd:
                    crowd.remove(member)
            granted = self._granted.pop(member, 0)
            self._settle()
        self.give(granted)

    def take(self, member: Member) -> bool:
        """A permit for one more connection. False: the member is hungry now, and woken by
        ``pump`` when one is granted to it."""
        with self._lock:
            if self._granted[member]:
                self._granted[member] -= 1
                return True
            if self.used < self.limit:
                self.used += 1
                return True
            if member not in self._hungry:
                self._hungry.append(member)
            self._settle()
            donors = [each for each in self._members if each is not member and each.idle]
        if donors:
            max(donors, key=lambda each: each.idle).wake("yield_idle")
        return False

    def satisfied(self, member: Member) -> None:
        """The member needs no permit any more, or can't use one now."""
        with self._lock:
            if member in self._hungry:
                self._hungry.remove(member)
            granted = self._granted.pop(member, 0)
            self._settle()
        self.give(granted)

    def start_closing(self) -> None:
        """One of the permits in use will be given back soon, with ``closed=True``."""
        with self._lock:
            self.closing += 1
            self._settle()

    def give(self, count: int = 1, *, closed: bool = False) -> None:
        """Return permits; each goes to a hungry member first."""
        while count:
            count -= 1
            with self._lock:
                self.closing -= closed
                closed = False
                heir = None
                if self._hungry and self.used <= self.limit:
                    heir = min(self._hungry, key=self._wealth)
                    self._hungry.remove(heir)
                    self._granted[heir] += 1
                else:
                    self.used -= 1
                self._settle()
            if heir is not None and not heir.wake("pump"):
                with self._lock:
                    count += self._granted.pop(heir, 0)

    def start_connecting(self, member: Member) -> bool:
        """Whether one more connect may be in flight. False: the member is woken by ``pump`` when
        another one ends."""
        with self._lock:
            if self.connecting < self.connecting_limit:
                self.connecting += 1
                return True
            if member not in self._unconnected:
                self._unconnected.append(member)
            return False

    def end_connecting(self) -> None:
        with self._lock:
            self.connecting -= 1
            woken, self._unconnected = self._unconnected, []
        for each in woken:
            each.wake("pump")

    def resize(self, limit: int) -> None:
        with self._lock:
            grown = limit > self.limit
            self.limit = limit
            self._settle()
            members = list(self._members)
        for each in members:
            each.wake("pump" if grown else "yield_idle")

    def over(self, member: Member) -> bool:
        """Whether the member should close a connection for the others' sake: when that makes them
        more equal, or when one of them has none at all."""
        with self._lock:
            if self.excess > 0:
                return True
            if len(self._hungry) <= self.closing:
                return False
            poorest = min(
                (self._wealth(each) for each in self._hungry if each is not member),
                default=member.size,
            )
            return poorest == 0 or member.size > poorest + 1

    @property
    def excess(self) -> int:
        """Connections over the limit, after a resize, that are not being closed yet."""
        return self.used - self.closing - self.limit

    def _wealth(self, member: Member) -> int:
        return member.size + self._granted[member]

    def _settle(self) -> None:
        starving = len(self._members) > 1 and len(self._hungry) > self.closing
        self.pressure = starving or self.excess > 0
