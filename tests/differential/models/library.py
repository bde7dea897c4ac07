"""Relations of every kind."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models

from tests.differential.models.base import Base


class Note(Base):
    """On anything."""

    text = models.CharField(max_length=100)
    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.CharField(max_length=40)
    subject = GenericForeignKey("content_type", "object_id")


class Person(Base):
    name = models.CharField(max_length=50)
    born = models.DateField(null=True)
    joined = models.DateTimeField()
    active = models.BooleanField(default=True)
    score = models.FloatField(default=0.0)
    mentor = models.ForeignKey("self", models.SET_NULL, null=True, related_name="pupils")
    friends = models.ManyToManyField("self")
    follows = models.ManyToManyField("self", symmetrical=False, related_name="followers")


class Author(Person):
    """A table of its own for what is more than a person's."""

    pen_name = models.CharField(max_length=50, blank=True)
    royalties = models.DecimalField(max_digits=10, decimal_places=2, default=0)
    address = models.GenericIPAddressField(null=True)


class Publisher(Base):
    name = models.CharField(max_length=50, unique=True)
    country = models.CharField(max_length=2)
    founded = models.DateField()

    class Meta(Base.Meta):
        ordering = ("name",)


class Category(Base):
    name = models.CharField(max_length=50)
    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="children")
    rank = models.IntegerField(default=0)

    class Meta(Base.Meta):
        ordering = ("parent__name", "-rank", "pk")


class Tag(Base):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    label = models.CharField(max_length=30, unique=True)
    notes = GenericRelation(Note)


class Book(Base):
    title = models.CharField(max_length=100)
    publisher = models.ForeignKey(Publisher, models.PROTECT, null=True, related_name="books")
    category = models.ForeignKey(Category, models.RESTRICT, null=True)
    authors = models.ManyToManyField(Author, through="Authorship", related_name="books")
    editor = models.ForeignKey(
        Person, models.SET_NULL, null=True, related_name="edited", related_query_name="edited_book"
    )
    tags = models.ManyToManyField(Tag, related_name="books")
    notes = GenericRelation(Note, related_query_name="book")
    price = models.DecimalField(max_digits=8, decimal_places=2)
    pages = models.PositiveIntegerField()
    rating = models.FloatField(null=True)
    published = models.DateField(null=True)
    released = models.DateTimeField(null=True)
    shelf_time = models.DurationField(null=True)
    about = models.JSONField(default=dict)

    class Meta(Base.Meta):
        get_latest_by = ("published", "pk")


class Authorship(Base):
    book = models.ForeignKey(Book, models.CASCADE)
    author = models.ForeignKey(Author, models.CASCADE)
    position = models.SmallIntegerField(default=1)
    share = models.DecimalField(max_digits=4, decimal_places=3, default=1)

    class Meta(Base.Meta):
        unique_together = (("book", "author"),)


class Cover(Base):
    book = models.OneToOneField(Book, models.CASCADE, primary_key=True)
    colour = models.CharField(max_length=10)
    weight = models.FloatField(null=True)


class Edition(Base):
    """A primary key of two columns."""

    pk = models.CompositePrimaryKey("book_id", "number")
    book = models.ForeignKey(Book, models.CASCADE, related_name="editions")
    number = models.IntegerField()
    printed = models.IntegerField(default=0)


class CheapManager(models.Manager[Any]):
    def get_queryset(self) -> models.QuerySet[Any]:
        return super().get_queryset().filter(price__lt=15)


class Cheap(Book):
    """Some of the books."""

    objects: ClassVar[models.Manager[Any]] = CheapManager()

    class Meta:
        app_label = "differential"
        proxy = True
        ordering = ("-price", "pk")


class BookSummary(Base):
    """A view."""

    book = models.OneToOneField(Book, models.DO_NOTHING, primary_key=True, related_name="summary")
    title = models.CharField(max_length=100)
    author_count = models.IntegerField()
    names = models.TextField()

    class Meta(Base.Meta):
        managed = False
        db_table = "differential_summary"

    SQL = """
        CREATE VIEW differential_summary AS
        SELECT b.id AS book_id, b.title, count(a.id)::int AS author_count,
               coalesce(string_agg(p.name, ', ' ORDER BY p.name), '') AS names
        FROM differential_book b
        LEFT JOIN differential_authorship a ON a.book_id = b.id
        LEFT JOIN differential_person p ON p.id = a.author_id
        GROUP BY b.id
    """
