"""Side by side with the peers: ``python -m benchmarks [suite ...]``.

A suite is a module of this package with ``SERVICES`` (the development servers it needs)
and ``async def run(lab)``; adding a suite is adding such a file.
"""
