"""What readers leave behind: counts of what they read, in Redis, and their notes, in MongoDB."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django import forms
from pymongo.errors import PyMongoError

from poolapp import PoolError, pools
from project.stores import unavailable

MOST_NOTES: Final = 50
_COUNTS: Final = "stdlib:read"


class NoteForm(forms.Form):
    author = forms.CharField(
        max_length=40, required=False, label="Your name", help_text="If you like"
    )
    text = forms.CharField(
        max_length=2000, label="Note", widget=forms.Textarea(attrs={"rows": 3}), strip=True
    )


@dataclass(frozen=True)
class Note:
    author: str
    text: str
    written: datetime


async def count_reader(name: str) -> int:
    """One more reader of an entry; how many there were. Raises StoreUnavailable."""
    try:
        return int(await pools["cache"].execute("ZINCRBY", _COUNTS, 1, name))
    except PoolError as error:
        raise unavailable("Redis", error) from error


async def most_read(limit: int) -> list[tuple[str, int]]:
    """`[(qualified name, readers)]`. Raises StoreUnavailable."""
    try:
        found = await pools["cache"].execute("ZREVRANGE", _COUNTS, 0, limit - 1, "WITHSCORES")
    except PoolError as error:
        raise unavailable("Redis", error) from error
    return [(name.decode(), int(score)) for name, score in found]


async def notes_of(name: str) -> list[Note]:
    """The newest first. Raises StoreUnavailable."""
    try:
        async with pools["notes"].database() as database:
            found = database.notes.find({"entry": name}, sort=[("written", -1)], limit=MOST_NOTES)
            return [_note(each) async for each in found]
    except (PoolError, PyMongoError) as error:
        raise unavailable("MongoDB", error) from error


async def add_note(name: str, author: str, text: str) -> None:
    """Raises StoreUnavailable; then the note may or may not have been kept."""
    note = {"entry": name, "author": author, "text": text, "written": datetime.now(UTC)}
    try:
        async with pools["notes"].database() as database:
            await database.notes.insert_one(note)
    except (PoolError, PyMongoError) as error:
        raise unavailable("MongoDB", error) from error


async def prepare_notes() -> None:
    """Make the index that the page's question needs."""
    try:
        async with pools["notes"].database() as database:
            await database.notes.create_index([("entry", 1), ("written", -1)])
    except (PoolError, PyMongoError) as error:
        raise unavailable("MongoDB", error) from error


def _note(document: dict[str, Any]) -> Note:
    return Note(document["author"], document["text"], document["written"])
