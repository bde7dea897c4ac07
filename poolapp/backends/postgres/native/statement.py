"""From Django's statements, with ``%s``, to the server's, with ``$1``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import psycopg

_MARK = re.compile(r"(?P<list> IN \(%s(?:, ?%s)*\))|%(?:\((?P<name>[^)]+)\)(?P<form>.)|(?P<one>.))")

_NOT = re.compile(r"\bNOT$", re.IGNORECASE)

_LONGEST_REMEMBERED = 20_000
"""Characters: longer statements are those of bulk inserts, seldom seen twice."""

_PLAIN = (tuple, list)


@dataclasses.dataclass(frozen=True, slots=True)
class Template:
    """A statement cut at its placeholders."""

    texts: tuple[str, ...]
    """What stands between them: one more than there are slots."""
    counts: tuple[int, ...]
    """For each slot the number of its parameters: 0 for a single one, n for `` IN (%s, ...)``."""
    names: tuple[str, ...] | None
    """Of ``%(name)s``, one for each; None where the placeholders have none."""
    total: int
    """How many parameters it takes."""

    def in_order(self, params: Any) -> Sequence[Any]:
        """The parameters, one for each placeholder; raises what psycopg does for a mismatch."""
        if self.names is None and type(params) in _PLAIN and len(params) == self.total:
            return params  # type: ignore[no-any-return]
        if isinstance(params, Mapping):
            if self.total and self.names is None:
                raise TypeError("positional placeholders (%s) require a sequence of parameters")
            missing = sorted({each for each in self.names or () if each not in params})
            if missing:
                raise psycopg.ProgrammingError(f"query parameter missing: {', '.join(missing)}")
            return [params[each] for each in self.names or ()]
        if isinstance(params, str | bytes) or not isinstance(params, Sequence):
            raise TypeError(
                "query parameters should be a sequence or a mapping, "
                f"got {type(params).__qualname__}"
            )
        if len(params) != self.total:
            raise psycopg.ProgrammingError(
                f"the query has {self.total} placeholders but {len(params)} parameters were passed"
            )
        if params and self.names is not None:
            raise TypeError("named placeholders require a mapping of parameters")
        return params

    def filled(self, values: Sequence[Any], write: Callable[[Any], str]) -> str:
        """The statement with each of the values as it is written."""
        each = iter(values)
        pieces = []
        for text, count in zip(self.texts, self.counts, strict=False):
            pieces.append(text)
            if count:
                pieces.append(f" IN ({', '.join(write(next(each)) for _ in range(count))})")
            else:
                pieces.append(write(next(each)))
        return "".join([*pieces, self.texts[-1]])


def template(sql: str) -> Template:
    """Raises psycopg's ProgrammingError for a placeholder that is none."""
    return _cut(sql) if len(sql) > _LONGEST_REMEMBERED else _remembered(sql)


def _cut(sql: str) -> Template:
    texts: list[str] = []
    counts: list[int] = []
    names: list[str] = []
    text, at = "", 0
    for match in _MARK.finditer(sql):
        text += sql[at : match.start()]
        at = match.end()
        if match["one"] == "%":
            text += "%"
            continue
        if match["list"] and _NOT.search(text):
            # Its parameters one by one.
            text += " IN ("
            for number in range(match["list"].count("%s")):
                texts.append(text if number == 0 else ", ")
                counts.append(0)
            text = ")"
            continue
        texts.append(text)
        text = ""
        counts.append(match["list"].count("%s") if match["list"] else 0)
        if not match["list"]:
            _check(match)
            if match["name"]:
                names.append(match["name"])
    total = sum(each or 1 for each in counts)
    if names and len(names) != total:
        raise psycopg.ProgrammingError("positional and named placeholders cannot be mixed")
    text += sql[at:]
    if text.endswith("%") and sql.endswith("%") and not sql.endswith("%%"):
        raise psycopg.ProgrammingError(f"incomplete placeholder: '%'; {_ESCAPE}")
    return Template((*texts, text), tuple(counts), tuple(names) or None, total)


_remembered = lru_cache(maxsize=2048)(_cut)

_ESCAPE = "if you want to use '%' as an operator you can double it up, i.e. use '%%'"


def _check(match: re.Match[str]) -> None:
    form = match["form"] or match["one"]
    if form in "sbt":
        return
    if form == "(":
        raise psycopg.ProgrammingError(f"incomplete placeholder: '{match[0]}'")
    hint = f"; {_ESCAPE}" if match["one"] == " " else ""
    raise psycopg.ProgrammingError(
        f"only '%s', '%b', '%t' are allowed as placeholders, got '{match[0]}'{hint}"
    )
