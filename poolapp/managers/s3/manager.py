"""What a model declares."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model

from poolapp.managers.documents.manager import DocumentManager
from poolapp.managers.documents.queryset import DocumentQuerySet
from poolapp.managers.s3.queryset import S3QuerySet
from poolapp.managers.s3.store import ContentType, S3Store

M = TypeVar("M", bound=Model)


class S3Manager(DocumentManager[M, S3QuerySet[M]]):
    """Instances as objects of a bucket: ``files = S3Manager(pool="media", prefix="articles/")``.

    ``prefix`` is a folder, of the model's label unless given; ``bucket`` another one than that of
    the alias. An object is JSON; with ``body="data"`` that field (a BinaryField, TextField or
    CharField) is its body, as it is, and the others are its metadata. ``content_type`` is what it
    is served as: text, or a function of the instance.
    """

    queryset_class: ClassVar[type[DocumentQuerySet[Any]]] = S3QuerySet
    server = "S3"
    needs = ("presign", "upload")

    def __init__(
        self,
        pool: str,
        prefix: str | None = None,
        *,
        bucket: str | None = None,
        body: str | None = None,
        content_type: ContentType = None,
    ) -> None:
        super().__init__(pool)
        self.prefix = prefix
        self.bucket = bucket
        self.body = body
        self.content_type = content_type

    def make_store(self, alias: str) -> S3Store:
        return S3Store(
            self.model,
            alias,
            prefix=_folder(self.label() if self.prefix is None else self.prefix),
            bucket=self.bucket,
            body=self.body,
            content_type=self.content_type,
        )


def _folder(prefix: str) -> str:
    """With a slash at its end: ``data`` begins ``data2/`` too. ``""`` is the bucket itself."""
    folders = prefix.removesuffix("/").split("/") if prefix else []
    if any(each in ("", ".", "..") for each in folders):
        raise ImproperlyConfigured(
            f"S3Manager: the prefix {prefix!r} is a path of folders, such as 'articles/2024/'"
        )
    return "".join(f"{each}/" for each in folders)
