"""What has to be there before the first write, and what the server has to be able to do."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from django.db import NotSupportedError

from poolapp.managers.s3.refusals import NOT_IMPLEMENTED, Refused, told

if TYPE_CHECKING:
    from poolapp.managers.s3.store import S3Store

_OTHER = '"00000000000000000000000000000000"'
"""An ETag that no object has."""


async def prepare(store: S3Store) -> list[str]:
    """Make the bucket; a sentence when it was made.

    Then write, and delete, an object whose name is no primary key's, to see whether the server
    honours conditions. Raises NotSupportedError when it does not: it would overwrite what
    ``acreate`` must not, and lose updates, without a word.
    """
    pool: Any = store.pool
    with told(store.alias):
        made = await pool.create_bucket(store.bucket)
    sentences = [f"made the bucket {store.bucket or pool.backend.bucket!r}"] if made else []
    key = f"{store.keys.prefix}%{secrets.token_hex(8)}"
    gone = f"{key}-gone"
    conditions = (
        ("If-None-Match", key, {"IfNoneMatch": "*"}),
        ("If-Match", key, {"IfMatch": _OTHER}),
        ("If-Match for what is gone", gone, {"IfMatch": _OTHER}),
    )
    with told(store.alias):
        await pool.put(key, b"", bucket=store.bucket)
        try:
            ignored = [
                name
                for name, where, condition in conditions
                if not await _is_honoured(store, where, condition)
            ]
        finally:
            await pool.delete(key, bucket=store.bucket)
            await pool.delete(gone, bucket=store.bucket)
    if ignored:
        raise NotSupportedError(
            f"the server of pool {store.alias!r} does not honour {' and '.join(ignored)} of a PUT, "
            "without which acreate() would overwrite and if_unchanged would lose updates; AWS, "
            "Cloudflare R2, SeaweedFS 4 and today's MinIO and Ceph do"
        )
    return sentences


async def _is_honoured(store: S3Store, key: str, condition: dict[str, str]) -> bool:
    pool: Any = store.pool
    try:
        with told(store.alias):
            await pool.put(key, b"", bucket=store.bucket, **condition)
    except Refused as error:
        if error.status == NOT_IMPLEMENTED:
            return False
        if not (error.is_changed or error.is_missing):
            raise
        return True
    return False
