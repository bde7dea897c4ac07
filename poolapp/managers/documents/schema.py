"""A model as the schema of documents: instances to documents and back, by the fields' own
conversions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from django.db import NotSupportedError, connection
from django.db.models import (
    BooleanField,
    CharField,
    DecimalField,
    Field,
    FloatField,
    IntegerField,
    JSONField,
    Model,
    TextField,
    UUIDField,
    Value,
)
from django.db.models.expressions import DatabaseDefault

from poolapp.managers.documents.forms import Form
from poolapp.managers.documents.kinds import Kind, kind_of


class Schema:
    """The concrete fields of one model, in the form of one store."""

    def __init__(self, model: type[Model], form: Form) -> None:
        self.model = model
        self.form = form

    @cached_property
    def fields(self) -> tuple[Field[Any, Any], ...]:
        """All concrete fields, those of parents included, in the model's order."""
        return tuple(self.model._meta.concrete_fields)

    @cached_property
    def pk(self) -> Field[Any, Any]:
        """Raises NotSupportedError for a composite primary key."""
        pk = self.model._meta.pk
        if pk not in self.model._meta.concrete_fields:
            raise NotSupportedError(
                f"{self.model._meta.label} has a composite primary key; a document has one key, of "
                "one field"
            )
        return pk

    def key(self, field: Field[Any, Any]) -> str:
        """The name of a field in a document: ``author_id`` for the relation ``author``."""
        return field.attname

    # -- instances -----------------------------------------------------------------------------

    def to_document(
        self, instance: Model, fields: Iterable[Field[Any, Any]] | None = None
    ) -> dict[str, Any]:
        """All the fields, or these, as the store holds them. Fields that are deferred are left out.

        Raises what the field's ``get_prep_value`` raises (ValueError, TypeError, ValidationError),
        naming the field.
        """
        held = instance.__dict__
        document = {}
        for field in self.fields if fields is None else fields:
            key = field.attname
            if key in held:
                value = held[key]
                if type(value) is not self._unchanged.get(key):
                    value = self.dump(field, getattr(instance, key))
                document[key] = value
        return document

    @cached_property
    def _unchanged(self) -> dict[str, type]:
        """The fields whose conversion leaves a value of this type as it is: they need none, which
        is most of the time that a document takes."""
        return {
            field.attname: kept
            for field in self.fields
            if (kept := self.form.unchanged.get(kind_of(field)))
            and type(field).get_prep_value in _PLAIN_CONVERSIONS
            and type(field).to_python in _PLAIN_CONVERSIONS
        }

    @cached_property
    def _loaded_unchanged(self) -> dict[str, type]:
        """The same for the way back."""
        return {
            field.attname: kept
            for field in self.fields
            if (kept := self.form.unchanged.get(kind_of(field)))
            and not hasattr(field, "from_db_value")
        }

    def from_document(self, document: Mapping[str, Any], *, projected: bool = False) -> Model:
        """An instance that counts as saved, though in no database: ``_state.adding`` is False,
        ``_state.db`` None.

        A key that is missing leaves the field deferred when the document is a projection; else the
        field has its default, as for a document that is older than the field.
        """
        names, values = [], []
        for field in self.fields:
            key = field.attname
            if key in document:
                value = document[key]
                if type(value) is not self._loaded_unchanged.get(key):
                    value = self.load(field, value)
                values.append(value)
            elif projected:
                continue
            else:
                values.append(default_of(field))
            names.append(key)
        return self.model.from_db(None, names, values)

    # -- values --------------------------------------------------------------------------------

    def dump(self, field: Field[Any, Any], value: Any) -> Any:
        """A value as an instance, or a look-up, has it -> as the store holds it."""
        if value is None:
            return None
        kind = kind_of(field)
        try:
            if kind is Kind.VECTOR:
                return self.form.dump(kind, value)
            if kind is Kind.ARRAY:
                return [self.dump(field.base_field, each) for each in value]  # type: ignore[attr-defined]
            if kind is Kind.JSON:
                return self.form.dump(kind, _plain_json(field, value))
            prepared = field.get_prep_value(value)
            return None if prepared is None else self.form.dump(kind, prepared)
        except (TypeError, ValueError) as error:
            if str(field.name) in str(error):
                raise
            kind_of_error = TypeError if isinstance(error, TypeError) else ValueError
            raise kind_of_error(f"field {field.name!r}: {error}") from error

    def load(self, field: Field[Any, Any], value: Any) -> Any:
        """The reverse of ``dump``."""
        if value is None:
            return None
        kind = kind_of(field)
        if kind is Kind.ARRAY:
            return [self.load(field.base_field, each) for each in value]  # type: ignore[attr-defined]
        loaded = self.form.load(kind, value)
        if kind is Kind.JSON:
            return _rich_json(field, loaded)
        from_db_value = getattr(field, "from_db_value", None)
        if from_db_value is None or kind is Kind.VECTOR:
            return loaded
        return from_db_value(loaded, None, connection)


_PLAIN_CONVERSIONS = frozenset(
    method
    for kind in (
        BooleanField,
        CharField,
        DecimalField,
        FloatField,
        IntegerField,
        TextField,
        UUIDField,
    )
    for method in (kind.get_prep_value, kind.to_python)
)


def default_of(field: Field[Any, Any]) -> Any:
    """What a new instance has. A ``db_default`` counts when it is a plain value; what a database
    would compute is null."""
    if getattr(field, "generated", False):
        return None
    value = field.get_default()
    if not isinstance(value, DatabaseDefault):
        return value
    (expression,) = value.get_source_expressions()
    return expression.value if isinstance(expression, Value) else None


def _plain_json(field: Field[Any, Any], value: Any) -> Any:
    """Of JSON's own types, as the field's encoder writes it."""
    encoder = getattr(field, "encoder", None)
    return json.loads(json.dumps(value, cls=encoder))


def _rich_json(field: Field[Any, Any], value: Any) -> Any:
    """As the field's decoder, or a method of its own, reads it."""
    own = type(field).__dict__.get("from_db_value")
    if getattr(field, "decoder", None) is None and (own is None or type(field) is JSONField):
        return value
    return field.from_db_value(json.dumps(value), None, connection)  # type: ignore[attr-defined]
