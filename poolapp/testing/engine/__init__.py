"""``DATABASES = {"default": {"ENGINE": "poolapp.testing.engine", ...}}``: Django's PostgreSQL engine
whose statements run on a pool of asyncpg's connections, for synchronous code."""
