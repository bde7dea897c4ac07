"""For STORAGES["staticfiles"]."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from threading import Thread

from django.contrib.staticfiles.storage import ManifestFilesMixin

from poolapp.core.exceptions import BackendUnavailable
from poolapp.storage.s3 import S3Storage

READ_WITHIN = 30.0
"""Seconds to wait for the manifest where an event loop has to wait too."""


class S3ManifestStaticStorage(ManifestFilesMixin, S3Storage):  # type: ignore[misc]
    """Names with the hash of the contents, and a manifest of them in the bucket."""

    def read_manifest(self) -> str | None:  # type: ignore[override]
        """Called once in a process, when the first URL of a static file is wanted."""
        manifest: str | None
        if self.manifest_storage is not self or not _is_on_a_loop():
            manifest = super().read_manifest()
            return manifest
        # Django asks for it in the middle of a template, which may be one that is rendered on an
        # event loop: that has to wait this one time. Not for the pool loop, which it may be itself.
        answer: Future[str | None] = Future()
        Thread(target=self._answer, args=[answer], daemon=True).start()
        try:
            return answer.result(READ_WITHIN)
        except TimeoutError:
            raise BackendUnavailable(
                f"{self.manifest_name!r} was not read within {READ_WITHIN:g} s"
            ) from None

    def _answer(self, answer: Future[str | None]) -> None:
        try:
            answer.set_result(asyncio.run(self._aread_manifest()))
        except BaseException as error:
            answer.set_exception(error)

    async def _aread_manifest(self) -> str | None:
        try:
            async with self.aopen(self.manifest_name) as file:
                content: bytes = await file.read()
        except FileNotFoundError:
            return None
        return content.decode()


def _is_on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
