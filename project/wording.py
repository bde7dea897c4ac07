"""The words of names and prose: what a search looks at, and how what it found is shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from project.kinds import Kind
from project.stdlib import split_words

if TYPE_CHECKING:
    from project.models import Entry

# Characters of a private-use area, which no docstring holds (`unmarked` makes sure): what they
# enclose is escaped like the rest before they become tags.
MARK_START: Final = "\ue000"
MARK_END: Final = "\ue001"

# Kept for old programs; what newer ones use comes first.
_LEGACY_PACKAGES: Final = frozenset({"distutils", "encodings", "lib2to3", "tkinter", "turtle"})
_WEIGHT_OF_KIND: Final = {
    Kind.MODULE: 1.6,
    Kind.CLASS: 1.3,
    Kind.FUNCTION: 1.3,
    Kind.EXCEPTION: 1.1,
    Kind.METHOD: 1.0,
    Kind.PROPERTY: 0.8,
}


def search_fields(entry: Entry) -> dict[str, Any]:
    """Field -> value, of those of an entry that are made of the others."""
    parts = entry.module.split(".")
    names = " ".join((entry.qualified_name, *entry.aliases))
    return {
        "package": parts[0],
        "modules": [".".join(parts[: end + 1]) for end in range(len(parts))],
        "names": " ".join([entry.name, *words_of(names)]),
        "words": sorted(
            {*_runs_of_letters(names), *words_of(f"{names} {entry.summary} {entry.docstring}")}
        ),
        "signature": unmarked(entry.signature),
        "summary": unmarked(entry.summary),
        "weight": _weight(entry),
    }


def _weight(entry: Entry) -> float:
    weight = _WEIGHT_OF_KIND[Kind(entry.kind)]
    if not entry.docstring:
        weight *= 0.5
    if entry.module.partition(".")[0] in _LEGACY_PACKAGES:
        weight *= 0.4
    return weight


def words_of(text: str) -> list[str]:
    """The words of names or prose in lower case: json, decode and error of `JSONDecodeError`."""
    words: list[str] = []
    for run in re.findall(r"[^\W_]+", text):
        words.extend(split_words(run) if run.isascii() else [run])
    return [word.lower() for word in words]


def _runs_of_letters(text: str) -> list[str]:
    """`JSONDecodeError` as one word, for who types it in lower case."""
    return re.findall(r"[^\W_]+", text.lower())


def unmarked(text: str) -> str:
    return text.replace(MARK_START, "").replace(MARK_END, "")


def marked(text: str) -> SafeString:
    """Escape `text`, then turn its markers into `<mark>` tags."""
    pieces = re.split(f"{MARK_START}(.*?){MARK_END}", text, flags=re.DOTALL)
    html = "".join(
        f"<mark>{escape(unmarked(piece))}</mark>" if number % 2 else escape(unmarked(piece))
        for number, piece in enumerate(pieces)
    )
    return mark_safe(html)  # noqa: S308  every piece was escaped above
