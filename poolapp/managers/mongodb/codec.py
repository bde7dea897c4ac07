"""Documents of a schema to what MongoDB holds, and back.

``_id`` is the primary key. A DateTimeField is a BSON date, which has milliseconds; what is beyond
them stands, where there is any, under the same name in ``_us``. ``_v`` is the version: another one
after each write.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Field

from poolapp.managers.documents.forms import MICROSECOND
from poolapp.managers.documents.kinds import INTEGERS, Kind, kind_of
from poolapp.managers.documents.schema import Schema
from poolapp.managers.mongodb.numbers import LARGEST, LONGEST, from_sortable, sortable
from poolapp.managers.mongodb.plain import dump_json, load_json

if TYPE_CHECKING:
    from bson.codec_options import CodecOptions

ID = "_id"
MICROSECONDS = "_us"
VERSION = "_v"

EPOCH = datetime(1970, 1, 1)
"""Dates are naive here."""

Convert = Callable[[Any], Any]


class Codec:
    """Of one schema; keeps nothing of the driver, which is imported by the first use."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        for field in schema.fields:
            key = schema.key(field)
            if key in (MICROSECONDS, VERSION) or (key == ID and field is not schema.pk):
                raise ImproperlyConfigured(
                    f"{field} can't be a field of a MongoDB document: {key!r} has a meaning there"
                )

    @cached_property
    def pk(self) -> str:
        return self._schema.key(self._schema.pk)

    def name(self, field: Field[Any, Any]) -> str:
        """Of a field, in MongoDB."""
        return ID if field is self._schema.pk else self._schema.key(field)

    def is_split(self, field: Field[Any, Any]) -> bool:
        """Whether its microseconds stand elsewhere. A key has to be in one place."""
        return kind_of(field) is Kind.DATETIME and field is not self._schema.pk

    def microseconds(self, field: Field[Any, Any]) -> str:
        """Where they stand."""
        return f"{MICROSECONDS}.{self._schema.key(field)}"

    # -- documents -----------------------------------------------------------------------------

    def dump(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """A whole document; ValueError and TypeError for what can't be held."""
        made = {ID: None, **document}
        pk = made.pop(self.pk)
        for key, convert in self._converted:
            if made.get(key) is not None:
                made[key] = convert(made[key])
        microseconds = {}
        for key in self._split:
            moment = made.get(key)
            if moment is not None and (rest := moment.microsecond % 1000):
                microseconds[key] = rest
        made[ID] = self.encode_pk(pk)
        if microseconds:
            made[MICROSECONDS] = microseconds
        made[VERSION] = new_version()
        return made

    def widen(self, dumped: dict[str, Any]) -> None:
        """Take care of the integers of a dumped document that are beyond 64 bits, which are not
        looked for until one has been in the way."""
        for key in self._integers:
            if dumped.get(key) is not None:
                dumped[key] = _dump_integer(dumped[key])

    def changes(self, document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The update that sets these keys."""
        values: dict[str, Any] = {VERSION: new_version()}
        gone: dict[str, Any] = {}
        for key, value in document.items():
            if key == self.pk:
                continue
            convert = self._encoders.get(key)
            values[key] = value if value is None or convert is None else convert(value)
            if key in self._split:
                rest = value.microsecond % 1000 if value is not None else 0
                (values if rest else gone)[f"{MICROSECONDS}.{key}"] = rest
        return {"$set": values, "$unset": gone} if gone else {"$set": values}

    def load(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """The document of a whole one, or of a projection."""
        made = dict(found)
        made.pop(VERSION, None)
        microseconds = made.pop(MICROSECONDS, None)
        if ID in made:
            made[self.pk] = made.pop(ID)
        for key, decode in self._decoders.items():
            if made.get(key) is not None:
                made[key] = decode(made[key])
        for key, rest in (microseconds or {}).items():
            if made.get(key) is not None:
                made[key] += rest * MICROSECOND
        return made

    def version(self, found: Mapping[str, Any]) -> int | None:
        """None for a document that another program wrote."""
        version = found.get(VERSION)
        return None if version is None else int(version)

    # -- values --------------------------------------------------------------------------------

    def encode_pk(self, value: Any) -> Any:
        return self._encode(self.pk, value)

    def encode(self, field: Field[Any, Any], value: Any) -> Any:
        """One value, for a condition. Of a split date only the milliseconds count."""
        return self._encode(self._schema.key(field), value)

    def _encode(self, key: str, value: Any) -> Any:
        convert = self._encoders.get(key)
        return value if convert is None or value is None else convert(value)

    def decode(self, field: Field[Any, Any], value: Any) -> Any:
        """The reverse."""
        convert = self._decoders.get(self._schema.key(field))
        return value if convert is None or value is None else convert(value)

    @cached_property
    def _split(self) -> frozenset[str]:
        return frozenset(
            self._schema.key(each) for each in self._schema.fields if self.is_split(each)
        )

    @cached_property
    def _integers(self) -> frozenset[str]:
        return frozenset(key for key, encode in self._encoders.items() if encode is _dump_integer)

    @cached_property
    def _converted(self) -> list[tuple[str, Convert]]:
        """What a document is converted by at once."""
        return [each for each in self._encoders.items() if each[0] not in self._integers]

    @cached_property
    def _encoders(self) -> dict[str, Convert]:
        return {key: encode for key, (encode, _) in self._converters()}

    @cached_property
    def _decoders(self) -> dict[str, Convert]:
        return {key: decode for key, (_, decode) in self._converters()}

    def _converters(self) -> Iterator[tuple[str, tuple[Convert, Convert]]]:
        for field in self._schema.fields:
            if self.is_split(field):
                continue
            if (pair := _pair(field)) is not None:
                yield self._schema.key(field), pair


def new_version() -> int:
    """A number that no other write of the document has."""
    return random.getrandbits(63)


@cache
def codec_options() -> CodecOptions[dict[str, Any]]:
    """Those of the manager, whatever the alias's are."""
    from bson.binary import UuidRepresentation
    from bson.codec_options import CodecOptions

    return CodecOptions(uuid_representation=UuidRepresentation.STANDARD)


def is_wide(field: Field[Any, Any]) -> bool:
    """Whether a decimal field declares more digits than BSON's decimals have, and so is text."""
    while field.remote_field is not None:
        field = field.target_field  # type: ignore[attr-defined]
    field = getattr(field, "output_field", field) if getattr(field, "generated", False) else field
    return kind_of(field) is Kind.DECIMAL and (getattr(field, "max_digits", None) or 0) > LONGEST


def since_epoch(moment: datetime) -> int:
    """Microseconds."""
    return (moment - EPOCH) // MICROSECOND


def _pair(field: Field[Any, Any]) -> tuple[Convert, Convert] | None:
    """Both ways between the form and BSON; None where they are the same."""
    kind = kind_of(field)
    if kind in INTEGERS or kind is Kind.DURATION:
        return _dump_integer, _load_integer
    match kind:
        case Kind.DECIMAL:
            return (sortable, from_sortable) if is_wide(field) else (_dump_decimal, _load_decimal)
        case Kind.DATETIME:  # of a key, or in an array
            return since_epoch, lambda number: EPOCH + number * MICROSECOND
        case Kind.JSON:
            return dump_json, load_json
        case Kind.ARRAY:
            pair = _pair(field.base_field)  # type: ignore[attr-defined]
            return None if pair is None else (_each(pair[0]), _each(pair[1]))
    return None


def _each(convert: Convert) -> Convert:
    return lambda values: [None if each is None else convert(each) for each in values]


def _dump_integer(value: int) -> Any:
    if -LARGEST <= value < LARGEST:
        return value
    from bson import Decimal128

    try:
        return Decimal128(str(value))
    except ArithmeticError:
        raise ValueError(
            f"an integer of more than {LONGEST} digits can't be held; a DecimalField that declares "
            "them by its max_digits can hold them"
        ) from None


def _load_integer(value: Any) -> int:
    # BSON's integers of 64 bits come as a class of the driver's own.
    return int(value) if isinstance(value, int) else int(_plain_decimal(value))


def _dump_decimal(value: Decimal) -> Any:
    from bson import Decimal128

    if not value.is_finite():
        raise ValueError(f"{value} is no number that can be held")
    try:
        return Decimal128(value)
    except ArithmeticError:
        raise ValueError(
            f"{value} has more than {LONGEST} digits; a DecimalField that declares them by its "
            "max_digits can hold them"
        ) from None


def _load_decimal(value: Any) -> Decimal:
    return _plain_decimal(value)


def _plain_decimal(value: Any) -> Decimal:
    """Of a Decimal128, or of what another program wrote, or an aggregate made, in its place."""
    to_decimal = getattr(value, "to_decimal", None)
    if to_decimal is not None:
        return to_decimal()  # type: ignore[no-any-return]
    return Decimal(str(value)) if isinstance(value, float) else Decimal(value)
