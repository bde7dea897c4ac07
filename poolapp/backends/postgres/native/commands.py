"""What a text of SQL consists of, as far as the protocol has to know."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
    (?P<gap>   \s+ | --[^\n]* )
    | (?P<comment> /\* )
    | (?P<end> ; )
    | (?P<quoted> [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*"
                | \$(?P<tag>[A-Za-z_\x80-\uffff]?[\w\x80-\uffff]*)\$ .*? \$(?P=tag)\$ )
    | (?P<word> \w[\w$]* )
    | .
    """,
    re.VERBOSE | re.DOTALL,
)

_COMMENT_EDGE = re.compile(r"/\*|\*/")


def keyword(sql: str) -> str:
    """The first word in lower case, ``""`` where something else comes first."""
    at = 0
    while match := _TOKEN.match(sql, at):
        if match["comment"]:
            at = _after_comment(sql, at)
        elif match["gap"] or match["end"] or match[0] == "(":
            at = match.end()
        else:
            return (match["word"] or "").lower()
    return ""


def is_several(sql: str) -> bool:
    """Whether there is another command behind a semicolon."""
    at = sql.find(";")
    if at < 0 or not sql[at + 1 :].strip("; \t\r\n"):
        return False
    at, ended, body = 0, False, False
    while match := _TOKEN.match(sql, at):
        if match["comment"]:
            at = _after_comment(sql, at)
            continue
        at = match.end()
        if match["end"]:
            ended = not _inside_a_body(sql[:at]) if body else True
        elif not match["gap"]:
            if ended:
                return True
            body = body or (match["word"] or "").lower() == "atomic"
    return False


def _inside_a_body(sql: str) -> bool:
    """Of a function in standard SQL: BEGIN ATOMIC ...; ...; END."""
    words = [each.lower() for each in re.findall(r"\w+", sql)]
    opened = words.count("atomic") + words.count("case")
    return opened > words.count("end")


def _after_comment(sql: str, start: int) -> int:
    """Comments nest."""
    depth, at = 0, start
    while match := _COMMENT_EDGE.search(sql, at):
        depth += 1 if match[0] == "/*" else -1
        at = match.end()
        if depth == 0:
            return at
    return len(sql)
