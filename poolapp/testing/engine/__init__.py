"""Django's PostgreSQL engine whose statements run on a pool of asyncpg's connections, for the
synchronous code of tests: ``DATABASES = {"default": {"ENGINE": "poolapp.testing.engine", ...}}``.
"""
