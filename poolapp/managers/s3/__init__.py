"""Instances as objects of a bucket."""

from poolapp.managers.s3.manager import S3Manager
from poolapp.managers.s3.queryset import S3QuerySet

__all__ = ["S3Manager", "S3QuerySet"]
