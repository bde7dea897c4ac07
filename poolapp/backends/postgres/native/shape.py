"""The statements that differ in the values of their parameters only: as one text of the server's,
and what is known of it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from poolapp.backends.postgres.native.binding import (
    NATIVE,
    NULL,
    WRITTEN,
    Bound,
    bind,
    bind_list,
    placeholder,
)  # fmt: skip
from poolapp.backends.postgres.native.statement import Template

Kinds = tuple["str | tuple[str, ...]", ...]
"""For each slot its parameter's kind, ``"ANY "`` and an array's, or those of a list."""

ANY = "ANY "

_BOUND = re.compile(r"[\s(]*(?:select|insert|update|delete|merge|values|with)\b", re.IGNORECASE)
"""Statements that take parameters. EXPLAIN takes them too, but tells of them in what it gives."""

_POSITION = re.compile(r"\b(?:ORDER|GROUP)\s+BY\s+(?:[^()]*,\s*)?$", re.IGNORECASE)
_AFTER = re.compile(
    r"\s*(?:$|[,);]|(?:ASC|DESC|NULLS|LIMIT|OFFSET|FETCH|HAVING|UNION|INTERSECT|EXCEPT|FOR|WINDOW"
    r"|USING|ORDER)\b)",
    re.IGNORECASE,
)


class Shape:
    """One of a database. What is found out about it holds for the process."""

    __slots__ = ("literals", "shares", "text", "tried", "written")

    def __init__(self, text: str, literals: tuple[int, ...], written: bool) -> None:
        self.text = text
        """The statement with ``$1``."""
        self.literals = literals
        """The numbers, from 0, of the parameters that are given as the text of a literal."""
        self.tried = False
        """The server has accepted it before."""
        self.written = written
        """It has to be sent with its parameters written into it."""
        self.shares = False
        """Equal parameters have to be one and the same, so that the server sees that two
        expressions are."""


def bound(found: Template, values: Sequence[Any], transformer: Any) -> tuple[Kinds, list[Any]]:
    """The kinds of a statement's parameters, and the values of those that are sent."""
    kinds: list[str | tuple[str, ...]] = []
    sent: list[Any] = []
    at = 0
    for count in found.counts:
        if not count:
            kinds.append(_take(sent, bind(values[at], transformer)))
            at += 1
            continue
        listed = values[at : at + count]
        at += count
        array = bind_list(listed)
        if array is not None:
            kinds.append(ANY + _take(sent, array))
        else:
            kinds.append(tuple(_take(sent, bind(each, transformer)) for each in listed))
    return tuple(kinds), sent


def sources(found: Template, kinds: Kinds) -> Iterator[Sequence[int]]:
    """For each parameter that is sent, the numbers of those of Django's that it stands for."""
    at = 0
    for count, kind in zip(found.counts, kinds, strict=True):
        each = range(at, at + (count or 1))
        at = each.stop
        if isinstance(kind, tuple):
            yield from ([number] for number, one in zip(each, kind, strict=True) if _is_sent(one))
        elif _is_sent(kind):
            yield each


def _is_sent(kind: str) -> bool:
    return kind != NULL and not kind.startswith(WRITTEN)


def _take(sent: list[Any], each: Bound) -> str:
    kind, value = each
    if _is_sent(kind):
        sent.append(value)
    return kind


@lru_cache(maxsize=4096)
def shape_of(
    place: object, texts: tuple[str, ...], kinds: Kinds, shared: tuple[int, ...] | None = None
) -> Shape:
    """``place`` is the database's. ``shared`` gives for each parameter the number, from 0, of the
    first one that is equal to it."""
    numbers: dict[int, int] = {}
    literals: list[int] = []
    sent = 0

    def stand_in(kind: str) -> str:
        nonlocal sent
        if kind == NULL:
            return "NULL"
        if kind.startswith(WRITTEN):
            return kind.removeprefix(WRITTEN)
        first = sent if shared is None else shared[sent]
        sent += 1
        if first not in numbers:
            numbers[first] = len(numbers)
            if kind not in NATIVE:
                literals.append(numbers[first])
        return placeholder(numbers[first] + 1, kind)

    pieces = []
    for text, kind in zip(texts, kinds, strict=False):
        pieces.append(text)
        if isinstance(kind, tuple):
            pieces.append(f" IN ({', '.join(map(stand_in, kind))})")
        elif kind.startswith(ANY):
            pieces.append(f" = ANY({stand_in(kind.removeprefix(ANY))})")
        else:
            pieces.append(stand_in(kind))
    written = not _BOUND.match(texts[0]) or sent > MOST or _has_positions(texts)
    return Shape("".join([*pieces, texts[-1]]), tuple(literals), written)


MOST = 32767
"""Parameters that asyncpg sends."""


def _has_positions(texts: tuple[str, ...]) -> bool:
    """Whether a parameter stands where a number would be that of a column."""
    return any(
        _POSITION.search(before) and _AFTER.match(after)
        for before, after in itertools.pairwise(texts)
    )


def equal_ones(kinds: Kinds, sent: Sequence[Any]) -> tuple[int, ...]:
    """For ``shape_of``: which of the parameters are equal."""
    flat = [
        each
        for kind in kinds
        for each in (kind if isinstance(kind, tuple) else (kind,))
        if _is_sent(each)
    ]
    seen: dict[tuple[str, str], int] = {}
    return tuple(
        seen.setdefault((kind, repr(value)), number)
        for number, (kind, value) in enumerate(zip(flat, sent, strict=True))
    )
