"""A pytest plugin: every loop that nobody chose is uvloop's, also the process's own pool loop."""

import asyncio
import warnings

import uvloop

with warnings.catch_warnings():
    # Policies are on their way out, but nothing else reaches a loop that a library makes.
    warnings.simplefilter("ignore", DeprecationWarning)
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
