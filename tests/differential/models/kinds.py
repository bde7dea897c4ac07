"""Every type of field that Django itself has, and custom ones."""

# ruff: noqa: DJ001 - of every type there are NULLs

from __future__ import annotations

import dataclasses
import enum
import json
from decimal import Decimal
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F, Value
from django.db.models.functions import Lower, Now, Upper

from tests.differential.models.base import Base


class Colour(models.TextChoices):
    RED = "red", "Red"
    GREEN = "green", "Green"
    BLUE = "blue", "Blue"


class Level(models.IntegerChoices):
    LOW = 1, "low"
    MIDDLE = 5, "middle"
    HIGH = 9, "high"


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


@dataclasses.dataclass(frozen=True, order=True)
class Money:
    """What a custom field makes of a number."""

    cents: int


class MoneyField(models.BigIntegerField):
    """Another type in Python than in the database."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Money | None:
        return None if value is None else Money(value)

    def get_prep_value(self, value: Any) -> Any:
        return value.cents if isinstance(value, Money) else super().get_prep_value(value)

    def to_python(self, value: Any) -> Any:
        return value if value is None or isinstance(value, Money) else Money(int(value))


class MoodField(models.CharField):
    """A plain enumeration, which no driver knows."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Mood | None:
        return None if value is None else Mood(value)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return value.value if isinstance(value, Mood) else value


class LoudField(models.TextField):
    """The database changes the value on its way in and out."""

    def select_format(self, compiler: Any, sql: str, params: Any) -> Any:
        return f"upper({sql})", params

    def get_placeholder(self, value: Any, compiler: Any, connection: Any) -> str:
        return "lower(%s)"

    def get_placeholder_sql(self, value: Any, compiler: Any, connection: Any) -> Any:
        """The same, as Django 6.1 asks for it."""
        if hasattr(value, "as_sql"):
            sql, params = compiler.compile(value)
            return f"lower({sql})", params
        return "lower(%s)", (value,)


class Shouted(json.JSONEncoder):
    def default(self, o: Any) -> Any:
        return {"__money__": o.cents} if isinstance(o, Money) else super().default(o)


class Heard(json.JSONDecoder):
    def __init__(self, **named: Any) -> None:
        super().__init__(object_hook=self._hook, **named)

    def _hook(self, found: dict[str, Any]) -> Any:
        return Money(found["__money__"]) if "__money__" in found else found


class Everything(Base):
    """Nothing is required, so that there are rows of NULLs."""

    small = models.SmallIntegerField(null=True)
    integer = models.IntegerField(null=True)
    big = models.BigIntegerField(null=True)
    positive_small = models.PositiveSmallIntegerField(null=True)
    positive = models.PositiveIntegerField(null=True)
    positive_big = models.PositiveBigIntegerField(null=True)
    boolean = models.BooleanField(null=True)
    char = models.CharField(max_length=40, null=True)
    text = models.TextField(null=True)
    slug = models.SlugField(null=True)
    email = models.EmailField(null=True)
    url = models.URLField(null=True)
    date = models.DateField(null=True)
    moment = models.DateTimeField(null=True)
    time = models.TimeField(null=True)
    duration = models.DurationField(null=True)
    decimal = models.DecimalField(max_digits=12, decimal_places=3, null=True)
    float = models.FloatField(null=True)
    binary = models.BinaryField(null=True)
    uuid = models.UUIDField(null=True)
    ip = models.GenericIPAddressField(null=True)
    file = models.FileField(upload_to="files", null=True)
    path = models.FilePathField(path="/tmp", null=True)
    json = models.JSONField(null=True)
    django_json = models.JSONField(encoder=DjangoJSONEncoder, null=True)
    own_json = models.JSONField(encoder=Shouted, decoder=Heard, null=True)
    colour = models.CharField(max_length=10, choices=Colour.choices, null=True)
    level = models.IntegerField(choices=Level.choices, null=True)
    money = MoneyField(null=True)
    mood = MoodField(max_length=10, null=True)
    loud = LoudField(null=True)

    class Meta(Base.Meta):
        db_table = "differential_everything"


class Marked(Base):
    """What the database or Django fills in."""

    name = models.CharField(max_length=20, unique=True)
    amount = models.IntegerField(db_default=Value(7))
    rate = models.DecimalField(max_digits=6, decimal_places=2, default=Decimal("1.50"))
    label = models.CharField(max_length=20, db_default=Upper(Value("label")))
    born = models.DateTimeField(db_default=Now())
    made = models.DateTimeField(auto_now_add=True)
    changed = models.DateTimeField(auto_now=True)
    doubled = models.GeneratedField(
        expression=F("amount") * 2, output_field=models.IntegerField(), db_persist=True
    )
    lowered = models.GeneratedField(
        expression=Lower("name"), output_field=models.CharField(max_length=20), db_persist=True
    )

    class Meta(Base.Meta):
        constraints = (
            models.CheckConstraint(condition=models.Q(amount__gte=0), name="marked_not_negative"),
        )


class Odd(Base):
    """Names that have to be quoted."""

    id = models.AutoField(primary_key=True, db_column="Primary Key")
    select = models.IntegerField(db_column="select")
    quoted = models.CharField(max_length=20, db_column="quo'te")
    spaced = models.CharField(max_length=20, db_column="with space")
    dollar = models.IntegerField(db_column="dollar")
    accented = models.CharField(max_length=20, db_column="où")
    other = models.ForeignKey(
        "self", models.CASCADE, null=True, db_column="the Other", related_name="others"
    )

    class Meta(Base.Meta):
        db_table = "odd table; --"
        ordering = ("select", "id")


class Percent(Base):
    """A percent sign in a name, which is no placeholder."""

    share = models.IntegerField(db_column="per%cent")

    class Meta(Base.Meta):
        db_table = "differential_percent"
