"""Look-ups of text as regular expressions that mean the same to every version of PCRE."""

from __future__ import annotations

import re

LONGEST_PATTERN = 32_764
"""Bytes of a regular expression, of which MongoDB takes no longer one."""


def pattern_of(lookup: str, text: str) -> tuple[str, str]:
    """The regular expression of a look-up of text, and its options. ValueError for one that is too
    long."""
    options = "i" if lookup in ("iexact", "icontains", "istartswith", "iendswith", "iregex") else ""
    literal = text if lookup in ("regex", "iregex") else re.escape(text)
    match lookup.removeprefix("i"):
        case "exact":
            pattern = f"^{literal}{_END}"
        case "startswith":
            pattern = f"^{literal}"
        case "endswith":
            pattern = f"{literal}{_END}"
        case _:
            pattern = literal
    pattern = pattern.replace("\x00", r"\x00")
    if len(pattern.encode(errors="replace")) > LONGEST_PATTERN:
        raise ValueError(
            f"{lookup!r}: MongoDB takes patterns of up to {LONGEST_PATTERN:,} bytes; look up a "
            "shorter text, or the whole one by 'exact'"
        )
    return pattern, options


_END = r"(?![\s\S])"
"""The end of the text; ``$`` would match before a newline at the end as well."""
