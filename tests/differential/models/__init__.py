"""A broad schema: every type of field, and relations of every kind."""

from tests.differential.models.base import Base
from tests.differential.models.kinds import Colour, Everything, Level, Marked, Money, Odd, Percent
from tests.differential.models.library import (
    Author,
    Authorship,
    Book,
    BookSummary,
    Category,
    Cheap,
    Cover,
    Edition,
    Note,
    Person,
    Publisher,
    Tag,
)
from tests.differential.models.particular import Booking, Document, Particular

__all__ = [
    "Author",
    "Authorship",
    "Base",
    "Book",
    "BookSummary",
    "Booking",
    "Category",
    "Cheap",
    "Colour",
    "Cover",
    "Document",
    "Edition",
    "Everything",
    "Level",
    "Marked",
    "Money",
    "Note",
    "Odd",
    "Particular",
    "Percent",
    "Person",
    "Publisher",
    "Tag",
]
