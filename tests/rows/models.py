"""Models with a PostgresManager beside their own, or in its place."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Self

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.contrib.postgres.fields import ArrayField, IntegerRangeField
from django.db import models
from django.db.models.functions import Now, Upper

from poolapp.managers.postgres import NativeModel, PostgresManager, PostgresQuerySet

if TYPE_CHECKING:
    _CharField = models.CharField[Any, Any]
else:
    _CharField = models.CharField


class Loud(_CharField):
    """Prepares its values itself."""

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return value if value is None else value.upper()


class Author(models.Model):
    name = models.CharField(max_length=50, unique=True)

    objects = models.Manager()
    rows = PostgresManager["Author"]()

    def __str__(self) -> str:
        return self.name


class Tag(models.Model):
    name = models.CharField(max_length=50)

    rows = PostgresManager["Tag"]()


class Plain(models.QuerySet["Article"]):
    """A user's class that knows nothing of pools."""

    def long(self) -> Self:
        return self.filter(size__gte=100)

    def count_long(self) -> int:
        return self.long().count()

    def get(self, *args: Any, **kwargs: Any) -> Any:
        self.got = True
        return super().get(*args, **kwargs)


class Native(PostgresQuerySet["Article"]):
    def titled(self, title: str) -> Self:
        return self.filter(title=title)

    async def afirst_title(self) -> str | None:
        first = await self.order_by("title").afirst()
        return str(first.title) if first else None


Shown = PostgresManager.from_queryset(Native)


class ArticleManager(Shown["Article"]):
    def get_queryset(self) -> Any:
        return super().get_queryset().exclude(title="hidden")


class Note(models.Model):
    text = models.CharField(max_length=50)
    about_type = models.ForeignKey(ContentType, models.CASCADE)
    about_id = models.BigIntegerField()
    about = GenericForeignKey("about_type", "about_id")

    rows = PostgresManager["Note"]()


class Article(NativeModel, models.Model):
    title = models.CharField(max_length=100)
    body = models.TextField(default="")
    size = models.IntegerField(default=0)
    author = models.ForeignKey(Author, models.CASCADE, null=True, related_name="articles")
    created = models.DateTimeField(auto_now_add=True)
    changed = models.DateTimeField(auto_now=True)
    tags = models.ManyToManyField(Tag, related_name="articles")
    notes = GenericRelation(Note, "about_id", "about_type")

    objects = models.Manager()
    rows = PostgresManager["Article"]()
    shown = ArticleManager()
    plain = PostgresManager.from_queryset(Plain)()
    own = Native.as_manager()

    class Meta:
        get_latest_by = "size"

    def __str__(self) -> str:
        return self.title


class Comment(models.Model):
    article = models.ForeignKey(Article, models.CASCADE, related_name="comments")
    text = models.TextField()
    approved = models.BooleanField(default=False)

    rows = PostgresManager["Comment"]()
    objects = models.Manager()


class Everything(models.Model):
    """A field of each kind that COPY takes."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    small = models.SmallIntegerField(null=True)
    whole = models.IntegerField(default=1)
    big = models.PositiveBigIntegerField(null=True)
    real = models.FloatField(null=True)
    exact = models.DecimalField(max_digits=10, decimal_places=3, null=True)
    is_on = models.BooleanField(null=True)
    name = models.CharField(max_length=20, default="")
    slug = models.SlugField(default="")
    day = models.DateField(null=True)
    hour = models.TimeField(null=True)
    moment = models.DateTimeField(null=True)
    lasts = models.DurationField(null=True)
    data = models.JSONField(null=True)
    address = models.GenericIPAddressField(null=True)
    raw = models.BinaryField(null=True)
    numbers = ArrayField(models.IntegerField(), null=True)
    words = ArrayField(ArrayField(models.CharField(max_length=5)), null=True)
    loud = Loud(max_length=20, null=True)
    parent = models.ForeignKey("self", models.CASCADE, null=True)

    objects = models.Manager()
    rows = PostgresManager["Everything"]()


class Made(models.Model):
    """What the database makes itself."""

    name = models.CharField(max_length=20)
    level = models.IntegerField(db_default=7)
    since = models.DateTimeField(db_default=Now())
    shouted = models.GeneratedField(
        expression=Upper("name"), output_field=models.CharField(max_length=20), db_persist=True
    )

    rows = PostgresManager["Made"]()


class Level(models.Model):
    """A default of the database, and nothing that it generates."""

    name = models.CharField(max_length=20, primary_key=True)
    level = models.IntegerField(db_default=7)

    rows = PostgresManager["Level"]()


class Span(models.Model):
    """What only an INSERT can take."""

    span = IntegerRangeField(null=True)

    rows = PostgresManager["Span"]()


class Place(models.Model):
    name = models.CharField(max_length=50)

    rows = PostgresManager["Place"]()


class Restaurant(Place):
    stars = models.IntegerField(default=0)

    rows = PostgresManager["Restaurant"]()  # type: ignore[misc]


class Seat(models.Model):
    pk = models.CompositePrimaryKey("row", "number")
    row = models.IntegerField()
    number = models.IntegerField()
    taken = models.BooleanField(default=False)

    rows = PostgresManager["Seat"]()


class Odd(models.Model):
    """Names that have to be quoted."""

    name = models.CharField(max_length=50, db_column="Na me")
    order = models.IntegerField(default=0)

    rows = PostgresManager["Odd"]()

    class Meta:
        db_table = "rows ODD table"
