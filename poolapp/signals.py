"""Django signals of what happens in the pools.

``sender`` is the class of the pool's backend. Every signal carries ``alias`` and ``pool``, and
what is listed behind it. Receivers run in the thread of the pool's event loop, at the moment of
the event: they must be plain functions, and quick. One that raises is logged; the pool goes on.

There is no signal for each acquire and release, which would slow every one of them down: who
wants those writes a ``poolapp.Observer`` and hands it to ``pools.observe``.
"""

from __future__ import annotations

from django.dispatch import Signal

pool_opened = Signal()
pool_closed = Signal()

connection_opened = Signal()
"""``seconds`` that the connect took."""
connection_closed = Signal()
"""``reason``: ``lifetime``, ``idle``, ``drained``, ``reset``, ``lost``, ``dirty``, ``budget``,
``shutdown`` or ``aborted``."""
connection_lost = Signal()
"""``in_use``: whether somebody held it."""
connect_failed = Signal()
"""``error``: the driver's class and message, without secrets."""

acquire_timed_out = Signal()
"""``waited`` seconds."""
acquire_refused = Signal()
"""``reason``: ``max_waiting``, ``circuit_open``, ``unavailable``, ``reset`` or ``closed``."""
acquire_nested = Signal()
"""``lease`` and ``outer``, the lease that the same task held already."""

lease_leaked = Signal()
"""``lease``, ``held`` seconds."""
lease_returned = Signal()
"""``lease`` that was told as leaked, ``held`` seconds."""
leases_aborted = Signal()
"""``leases`` that closing did not wait for any longer."""

breaker_opened = Signal()
"""``failures`` in a row."""
breaker_closed = Signal()

pool_drained = Signal()
pool_reset = Signal()
"""``evicted``: how many waited."""
pool_paused = Signal()
pool_resumed = Signal()
pool_resized = Signal()
"""``min_size`` and ``max_size``."""
