"""The values of a database: what goes in and what comes out, by psycopg's own rules.

asyncpg chooses how a statement's parameters and columns are written by the settings of its
connection. A prepared statement, though, is an object of its own, and may be given other settings:
ours, of a protocol that is connected to nothing. There psycopg's loaders and dumpers do the work,
so that Django finds exactly the values that its driver would have given, whatever codecs the user
of the pool has set on its connections.

No type is asked of the server: one that psycopg does not know is text to it, and so it is here.
"""

from __future__ import annotations

import datetime
import threading
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import asyncpg
import psycopg
from asyncpg.protocol import protocol
from django.db.backends.postgresql.psycopg_any import get_adapters_template
from psycopg import postgres
from psycopg.adapt import AdaptersMap, PyFormat, Transformer
from psycopg.dbapi20 import BinaryTextDumper
from psycopg.pq import Format
from psycopg.types.datetime import TimestamptzLoader

Convert = Callable[[Any], Any]


_AS_THEY_ARE = {
    "bool": "BoolLoader", "bytea": "ByteaLoader", "float8": "FloatLoader", "int2": "IntLoader",
    "int4": "IntLoader", "int8": "IntLoader", "oid": "IntLoader",
}  # fmt: skip
"""asyncpg's own codecs give what these loaders do, and take what ``binding`` gives."""

_TEXTS = {
    "bpchar": "TextLoader", "jsonb": "TextLoader", "name": "TextLoader", "text": "TextLoader",
    "varchar": "TextLoader",
}  # fmt: skip
"""The same, and they take the text of a literal."""

_BINARY = {
    "date": "DateLoader", "interval": "IntervalLoader", "numeric": "NumericLoader",
    "time": "TimeLoader", "timestamp": "TimestampLoader", "timestamptz": "SpecificTzLoader",
    "timetz": "TimetzLoader", "uuid": "UUIDLoader",
}  # fmt: skip
"""psycopg reads and writes these in binary. It is quicker than text, and infinity stays what it
is, which asyncpg takes for the last day of the calendar."""

_TIMESTAMPTZ = postgres.types["timestamptz"].oid


def _oids(expected: Mapping[str, str], adapters: AdaptersMap) -> frozenset[int]:
    """Of the types that have the loader which they come with: a user may register another one."""
    found = set()
    for name, loader_name in expected.items():
        oid = postgres.types[name].oid
        loader = adapters.get_loader(oid, Format.TEXT)
        if (
            loader is not None
            and loader.__name__ == loader_name
            and loader.__module__.startswith(("psycopg", "django."))
        ):
            found.add(oid)
    return frozenset(found)


class Adapters(AdaptersMap):
    """psycopg's loaders and dumpers for one database, where Django registers its extensions'."""

    def __init__(self, template: AdaptersMap) -> None:
        super().__init__(template)
        self.version = 0
        """Rises when something is registered that was not there before."""
        self.greeted = False
        """Whether Django's ``connection_created`` was sent, upon which extensions register."""

    def register_loader(self, oid: int | str, loader: Any) -> None:
        number = self.types.get_oid(oid) if isinstance(oid, str) else oid
        before = self.get_loader(number, loader.format)
        super().register_loader(number, loader)
        self.version += self.get_loader(number, loader.format) is not before

    def register_dumper(self, cls: Any, dumper: Any) -> None:
        form = PyFormat.from_pq(dumper.format)
        before = self._dumpers[form].get(cls)
        super().register_dumper(cls, dumper)
        self.version += self._dumpers[form].get(cls) is not before


class _HexDumper(BinaryTextDumper):
    """psycopg's own, where it has no connection, escapes bytes for a literal only: in an array it
    would double each quote."""

    def dump(self, obj: Any) -> bytes:
        content = obj.obj if isinstance(obj, psycopg.Binary) else obj
        return b"\\x" + bytes(content).hex().encode()

    def quote(self, obj: Any) -> bytes:
        return b" E'\\" + self.dump(obj) + b"'"


class Context:
    """For psycopg's functions, where there is no connection of psycopg's."""

    connection = None

    def __init__(self, adapters: AdaptersMap) -> None:
        self.adapters = adapters


@lru_cache(maxsize=64)
def _adapters(alias: str, name: str, host: str, port: str) -> Adapters:
    adapters = Adapters(get_adapters_template(True, datetime.UTC))
    for kind in (bytes, bytearray, memoryview, psycopg.Binary):
        adapters.register_dumper(kind, _HexDumper)
    return adapters


def adapters_of(alias: str, database: Mapping[str, Any]) -> Adapters:
    """Those of an alias of ``DATABASES``, and its settings there. The types of an extension have
    other numbers in each database."""
    return _adapters(alias, *(str(database.get(name)) for name in ("NAME", "HOST", "PORT")))


_NOBODY: Any = SimpleNamespace(database="", user="", password=None)


class Codecs:
    """Those of one database, for one time zone of the session and one of Django."""

    def __init__(self, adapters: Adapters, session_zone: str, zone: Any) -> None:
        self.version = adapters.version
        move = _mover(_clock(session_zone), zone)
        own = AdaptersMap(adapters)
        binary = _oids(_BINARY, adapters)
        if _TIMESTAMPTZ in binary:
            own.register_loader("timestamptz", _text_loader(move))
        self.transformer: Any = Transformer(Context(own))
        self._protocol = protocol.Protocol(
            ("poolapp", 0),
            None,
            _NOBODY,
            asyncpg.Record,
            None,
        )
        self._settings = self._protocol.get_settings()
        self._loads: dict[int, Convert] = {}
        self._texts = _oids(_TEXTS, adapters)
        self._known = set(self._texts | _oids(_AS_THEY_ARE, adapters))
        self._as_they_are = self._known - self._texts
        for oid in binary:
            load = self.transformer.get_loader(oid, Format.BINARY).load
            if oid == _TIMESTAMPTZ and move is not None:
                self._make_binary(oid, _moved(load, move))
            else:
                self._make_binary(oid, load)

    def state(self, name: str, text: str) -> Any:
        """A statement of asyncpg's that is yet to be prepared."""
        return protocol.PreparedStatementState(name, text, self._protocol, asyncpg.Record, False)

    def fit(self, state: Any, literals: Iterable[int]) -> None:
        """Choose how the parameters and columns of a prepared statement are written.

        ``literals`` are the numbers, from 0, of the parameters that are given as a literal's text.
        """
        for oid in state._init_types():
            self._make_text(oid)
        parameters = [each.oid for each in state._get_parameters()]
        columns = [each.type.oid for each in state._get_attributes()]
        for oid in {*parameters, *columns} - self._known:
            self._make_text(oid)
        # asyncpg has one codec for a type, whether it comes or goes: a text for an integer has all
        # the integers of its statement written as texts.
        changed = {parameters[each] for each in literals if each < len(parameters)}
        changed &= self._as_they_are | self._loads.keys()
        for oid in changed:
            self._make_text(oid)
        try:
            state._init_codecs()
        finally:
            for oid in changed:
                if oid in self._loads:
                    self._make_binary(oid, self._loads[oid])
                else:
                    self._settings.remove_python_codec(oid, str(oid), "")

    def _make_binary(self, oid: int, load: Convert) -> None:
        self._loads[oid] = load
        self._add(oid, self._dump_binary, load, "binary")

    def _make_text(self, oid: int) -> None:
        load = self.transformer.get_loader(oid, Format.TEXT).load
        self._add(oid, self._dump_text, lambda text: load(text.encode()), "text")

    def _add(self, oid: int, encode: Convert, decode: Convert, form: str) -> None:
        self._known.add(oid)
        self._settings.add_python_codec(oid, str(oid), "", [], "scalar", encode, decode, form)

    def _dump_binary(self, value: Any) -> Any:
        return self.transformer.get_dumper(value, PyFormat.BINARY).dump(value)

    def _dump_text(self, value: Any) -> str:
        if isinstance(value, str):
            return value
        return bytes(self.transformer.get_dumper(value, PyFormat.TEXT).dump(value)).decode()


Move = Callable[[datetime.datetime], datetime.datetime]


def _mover(clock: datetime.tzinfo, zone: Any) -> Move | None:
    """As Django's loader: the moment by the session's clock, said to be in Django's zone. psycopg
    gives UTC where it has no connection to ask, and None stands for that."""
    if clock is datetime.UTC:
        return None if zone is datetime.UTC else lambda moment: moment.replace(tzinfo=zone)

    def move(moment: datetime.datetime) -> datetime.datetime:
        try:
            return moment.astimezone(clock).replace(tzinfo=zone)
        except OverflowError:
            raise psycopg.DataError("timestamp out of Python's calendar") from None

    return move


def _moved(load: Convert, move: Move) -> Convert:
    return lambda data: move(load(data))


def _text_loader(move: Move | None) -> Any:
    class LoaderInZone(TimestamptzLoader):
        def load(self, data: Any) -> datetime.datetime:
            moment = super().load(data)
            return moment if move is None else move(moment)

    return LoaderInZone


class _Made(threading.local):
    """A thread's own: while a statement is fitted, the codecs are those of that statement."""

    def __init__(self) -> None:
        self.codecs: dict[tuple[Any, ...], Codecs] = {}


_made = _Made()

_MOST = 32
"""Codecs that a thread keeps; a process has one or two, a test run more."""


def codecs_for(adapters: Adapters, session_zone: str, zone: Any) -> Codecs:
    """The thread's own codecs of a database. ``session_zone`` is the server's name of the time
    zone that the session is in; ``zone`` is what Django wants of aware datetimes, None for naive
    ones."""
    key = (adapters, session_zone, zone)
    found = _made.codecs.get(key)
    if found is None or found.version != adapters.version:
        if len(_made.codecs) >= _MOST:
            _made.codecs.clear()
        found = _made.codecs[key] = Codecs(adapters, session_zone, zone)
    return found


def _clock(name: str) -> datetime.tzinfo:
    """psycopg knows the zones by the same names, and takes UTC for others."""
    if name in ("UTC", "Etc/UTC", "GMT"):
        return datetime.UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        return datetime.UTC
