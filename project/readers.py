"""What readers leave behind: counts of what they read, in Redis, and their notes, in MongoDB."""

from __future__ import annotations

from typing import Final

from django import forms

from poolapp.managers import Conflict
from project.models import Note, Reading
from project.stores import stored_in_mongodb, stored_in_redis

MOST_NOTES: Final = 50


class NoteForm(forms.Form):
    author = forms.CharField(
        max_length=40, required=False, label="Your name", help_text="If you like"
    )
    text = forms.CharField(
        max_length=2000, label="Note", widget=forms.Textarea(attrs={"rows": 3}), strip=True
    )


@stored_in_redis
async def count_reader(name: str) -> int:
    """One more reader of an entry; how many there were. Raises StoreUnavailable."""
    while True:
        reading, _ = await Reading.counts.aget_or_create(entry=name)
        reading.count += 1
        try:
            await Reading.counts.asave(reading, if_unchanged=True)
        except Conflict:  # another reader was faster
            continue
        return reading.count


@stored_in_redis
async def most_read(limit: int) -> list[tuple[str, int]]:
    """`[(qualified name, readers)]`. Raises StoreUnavailable."""
    found = Reading.counts.order_by("-count")[:limit]
    return [(reading.entry, reading.count) async for reading in found]


@stored_in_mongodb
async def notes_of(name: str) -> list[Note]:
    """The newest first. Raises StoreUnavailable."""
    newest_first = Note.documents.filter(entry=name).order_by("-written")
    return [note async for note in newest_first[:MOST_NOTES]]


@stored_in_mongodb
async def add_note(name: str, author: str, text: str) -> None:
    """Raises StoreUnavailable; then the note may or may not have been kept."""
    await Note.documents.acreate(entry=name, author=author, text=text)


@stored_in_mongodb
async def prepare_notes() -> None:
    """Make the index that the page's question needs."""
    await Note.documents.ensure()
