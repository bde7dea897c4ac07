"""How often, and how long. Seconds; tests make them shorter."""

from __future__ import annotations

INTERVAL = 2.0
"""Between two snapshots of a process, give or take ``JITTER``."""

JITTER = 0.1
"""Share of it, so that the workers don't all write at once."""

LIFETIME = 6.0
"""How long a snapshot lives, and so how long a process that was killed is still shown."""

PATIENCE = 2.0
"""For what the fleet's Redis is asked."""

LINGER = 10.0
"""How long a process stays that has no pools any more: under WSGI they may come and go with each
request."""

COMMAND_DELAY = 30.0
"""How long a management command runs with pools before it counts as a worker: a shorter one would
only have the others divide ``FLEET_MAX`` anew, twice."""

KEPT = 1.0
"""How long what was read is shown to others who ask."""

ORDER_PATIENCE = 5.0
"""How long the workers' answers to an order are waited for."""

ORDER_LIFETIME = 10.0
"""After which an order is not carried out any more."""

LIMITS_INTERVAL = 60.0
"""How often one process of the fleet asks the servers how many connections they let in."""
