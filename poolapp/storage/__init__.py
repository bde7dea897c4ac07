"""Django's file storage on an S3 alias of POOLS.

::

    STORAGES = {
        "default": {
            "BACKEND": "poolapp.storage.S3Storage",
            "OPTIONS": {"pool": "media", "prefix": "uploads/"},
        },
    }
"""

from poolapp.storage.checks import check_storages
from poolapp.storage.files import AsyncWriter
from poolapp.storage.s3 import S3Storage
from poolapp.storage.static import S3ManifestStaticStorage

__all__ = ["AsyncWriter", "S3ManifestStaticStorage", "S3Storage", "check_storages"]
