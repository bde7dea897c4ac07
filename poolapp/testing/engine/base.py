"""What Django looks for in an engine."""

from poolapp.testing.native import steady

DatabaseWrapper = steady("django.db.backends.postgresql")

__all__ = ["DatabaseWrapper"]
