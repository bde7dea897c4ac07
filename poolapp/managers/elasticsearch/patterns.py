"""Parts of text, for the queries that compare letter by letter. What a user gives is escaped; the
look-up ``regex`` is translated by `regexes`."""

from __future__ import annotations

from poolapp.managers.elasticsearch import regexes
from poolapp.managers.elasticsearch.queries import Query, exists

SHORT = 200
"""Characters of a literal that surely fits, escaped, into a regular expression: the server's
``index.max_regex_length`` is 1,000."""


def equal_folded(path: str, text: str) -> Query:
    if _folds_by_flag(text):
        return {"term": {path: {"value": text, "case_insensitive": True}}}
    return regexp(path, regexes.literal(text, folded=True), folded=True)


def containing(path: str, text: str, *, folded: bool) -> Query:
    return _part(path, text, folded, before=True, after=True)


def ending(path: str, text: str, *, folded: bool) -> Query:
    return _part(path, text, folded, before=True, after=False)


def starting(path: str, text: str, *, folded: bool) -> Query:
    if not text:
        return exists(_field_of(path))
    if folded and not _folds_by_flag(text):
        return _part(path, text, folded, before=False, after=True)
    options = {"case_insensitive": True} if folded else {}
    return {"prefix": {path: {"value": text, **options}}}


def matching(path: str, expression: str, *, folded: bool) -> Query:
    """Django's ``regex``: found anywhere in the value unless it is anchored."""
    return regexp(path, regexes.translate(expression, folded=folded), folded=folded)


def _part(path: str, text: str, folded: bool, *, before: bool, after: bool) -> Query:
    if not text:
        return exists(_field_of(path))
    by_flag = not folded or _folds_by_flag(text)
    # Not every server that speaks this API reads an escaped wildcard right.
    odd = len(text) <= SHORT and not {"*", "?", "\\"}.isdisjoint(text)
    if by_flag and not odd:
        escaped = "".join(f"\\{each}" if each in "*?\\" else each for each in text)
        options = {"case_insensitive": True} if folded else {}
        pattern = f"{'*' * before}{escaped}{'*' * after}"
        return {"wildcard": {path: {"value": pattern, **options}}}
    middle = regexes.literal(text, folded=folded)
    anything = regexes.ANYTHING
    return regexp(path, f"{anything * before}{middle}{anything * after}", folded=folded)


def regexp(path: str, expression: str, *, folded: bool) -> Query:
    """Of an expression in Lucene's words."""
    options = {"case_insensitive": True} if folded else {}
    return {"regexp": {path: {"value": expression, "flags": "NONE", **options}}}


def _folds_by_flag(text: str) -> bool:
    """The server's ``case_insensitive`` knows the letters of ASCII only."""
    return all(each.isascii() or each.lower() == each.upper() for each in text)


def _field_of(path: str) -> str:
    return path.removesuffix(".keyword")
