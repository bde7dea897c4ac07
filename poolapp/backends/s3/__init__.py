"""S3 and what speaks like it: ``poolapp.backends.s3.S3Backend``."""

from poolapp.backends.s3.backend import S3Backend

__all__ = ["S3Backend"]
