"""The rows that every case looks at."""

from __future__ import annotations

import datetime
import uuid
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.postgres.search import SearchVector
from django.db import connection
from psycopg.types.range import Range

from tests.differential.models import (
    Author,
    Authorship,
    Book,
    Booking,
    BookSummary,
    Category,
    Cover,
    Document,
    Edition,
    Everything,
    Marked,
    Money,
    Note,
    Odd,
    Particular,
    Person,
    Publisher,
    Tag,
)
from tests.differential.models.kinds import Mood

SHELF = [
    "Async by Night",
    "The Pool",
    "Deep Water",
    "A Loop",
    "Émile's café",
    "100% Wool",
    'Quo\'ted "Title"',
    "back\\slash",
    "The Pool",
    "Under_score",
    "İstanbul",
    "zz Top",
]
NAMES = ["Ada", "Bob", "Cléa", "dan", "Eve", "Fay O'Hara", "Gil", "Hal"]


def at(*numbers: int) -> datetime.datetime:
    return datetime.datetime(*numbers, tzinfo=UTC)  # type: ignore[misc, arg-type]


def load() -> None:
    """Needs ``USE_TZ``."""
    _everything()
    _library()
    _particular()
    with connection.cursor() as cursor:
        cursor.execute(BookSummary.SQL)
        cursor.execute('INSERT INTO differential_percent ("per%cent") VALUES (10), (20)')
        cursor.execute("ANALYZE")


def _everything() -> None:
    words = [
        "",
        "alpha",
        "Alpha",
        "beta 50%",
        "o'clock",
        'say "hi"',
        "\\d+",
        "naïve ☕",
        "_x_",
        "Ω",
    ]
    documents: list[Any] = [
        {"a": 1, "b": {"c": [1, 2, {"d": None}]}, "e": "text"},
        {"a": "1", "b": [], "e": None},
        [1, "two", None, 3.5, {"k": "v"}],
        "plain",
        7,
        True,
        {},
        {"1": "one", "key with space": {"%": "%s"}, "a": 1.5, "quo'te": 2},
        {"a": [1, 2, 3], "b": {"c": "x"}, "nested": {"deep": {"deeper": [0, {"deepest": "yes"}]}}},
        {"a": False, "when": "2024-02-29", "big": 12345678901234567890},
    ]
    rows = []
    for n, (word, document) in enumerate(zip(words, documents, strict=True)):
        rows.append(
            Everything(
                id=n + 1,
                small=n * 7 - 20,
                integer=(n - 4) * 1000,
                big=(n - 5) * 10**15,
                positive_small=n,
                positive=n * n,
                positive_big=n * 10**14,
                boolean=n % 2 == 0,
                char=word,
                text=f"{word} {word.upper()}\nline {n}",
                slug=f"slug-{n}",
                email=f"user{n}@example.org",
                url=f"https://example.org/{n}?q=a%20b",
                date=datetime.date(2024, 2, 25) + timedelta(days=n),
                moment=at(2024, 3, 30, 22, 15, n, n * 1000) + timedelta(hours=5 * n),
                time=datetime.time((n * 5) % 24, n, n * 3, n * 100),
                duration=timedelta(days=n - 3, seconds=n * 1234, microseconds=n),
                decimal=Decimal(n * 1111 - 3000) / 1000,
                float=(n - 3) / 4,
                binary=bytes(range(n)) + b"\x00\xff'\\",
                uuid=uuid.UUID(int=n * 10**30 + 5),
                ip=f"10.0.0.{n}" if n % 2 else f"2001:db8::{n + 1:x}",
                file=f"files/{n}.txt",
                path=f"/tmp/{n}",
                json=document,
                django_json={
                    "when": at(2024, 1, n + 1),
                    "amount": Decimal("1.10"),
                    "id": uuid.UUID(int=n),
                },
                own_json={"price": Money(n * 100), "n": n},
                colour=("red", "green", "blue")[n % 3],
                level=(1, 5, 9)[n % 3],
                money=Money(n * 150),
                mood=(Mood.GOOD, Mood.BAD)[n % 2],
                loud=f"Loud {word}",
            )
        )
    rows.append(Everything(id=11))
    rows.append(
        Everything(
            id=12,
            small=-32768,
            integer=2**31 - 1,
            big=2**63 - 1,
            positive_small=32767,
            positive=2**31 - 1,
            positive_big=2**63 - 1,
            boolean=False,
            char="x" * 40,
            text="\t\r\n\x01 \U0001f600",
            date=datetime.date.max,
            moment=at(9998, 12, 31, 23, 59, 59, 999999),
            time=datetime.time.max,
            duration=timedelta(days=100000, microseconds=-1),
            decimal=Decimal("999999999.999"),
            float=float("inf"),
            binary=b"",
            uuid=uuid.UUID(int=2**128 - 1),
            ip="::ffff:1.2.3.4",
            json=None,
            colour="purple",
            level=77,
            money=Money(-1),
        )
    )
    rows.append(
        Everything(
            id=13,
            small=0,
            integer=0,
            big=-(2**63),
            char=" alpha ",
            date=datetime.date.min,
            moment=at(2, 1, 1),
            time=datetime.time(0),
            duration=timedelta(0),
            decimal=Decimal("-0.001"),
            float=float("nan"),
            text="",
            json={"a": {"b": "null"}, "": "empty"},
        )
    )
    Everything.objects.bulk_create(rows)
    Marked.objects.bulk_create(
        [Marked(id=n, name=f"Mark {n}", amount=n * 3) for n in range(1, 6)],
    )
    Odd.objects.bulk_create(
        [
            Odd(
                id=n, select=7 - n, quoted=f'"{n}"', spaced=f"{n} %", dollar=n % 2, accented="é" * n
            )
            for n in range(1, 5)
        ]
    )
    Odd.objects.filter(id__gt=1).update(other_id=1)


def _library() -> None:
    publishers = Publisher.objects.bulk_create(
        Publisher(id=n, name=name, country=country, founded=datetime.date(1900 + 30 * n, n, 28))
        for n, (name, country) in enumerate(
            [("Acme", "US"), ("Éditions", "FR"), ("zeta & co", "GB"), ("Empty House", "US")], 1
        )
    )
    categories: list[Category] = []
    for n, (name, parent) in enumerate(
        [("all", None), ("fiction", 1), ("facts", 1), ("crime", 2), ("maths", 3), ("poems", 2)], 1
    ):
        categories.append(Category.objects.create(id=n, name=name, parent_id=parent, rank=n % 3))
    people: list[Person] = []
    for n, name in enumerate(NAMES, 1):
        kind: Any = Author if n <= 5 else Person
        more = {
            "pen_name": f"{name}*" if n % 2 else "",
            "royalties": Decimal(n * n) / 4,
            "address": f"192.168.0.{n}",
        }
        person = kind(
            id=n,
            name=name,
            born=datetime.date(1950 + 7 * n, n, n) if n != 4 else None,
            joined=at(2020 + n % 3, n, 28, 23, 30),
            active=n % 3 != 0,
            score=n / 3,
            mentor=people[(n - 1) // 2] if n > 2 else None,
            **(more if kind is Author else {}),
        )
        person.save(force_insert=True)
        people.append(person)
    people[0].friends.add(people[1], people[2])
    people[3].friends.add(people[4])
    people[5].follows.add(*people[:3])
    people[6].follows.add(people[5])
    tags = Tag.objects.bulk_create(
        Tag(id=uuid.UUID(int=n), label=label)
        for n, label in enumerate(["new", "old", "rare", "50% off", "unused"], 1)
    )
    books = []
    for n, title in enumerate(SHELF, 1):
        books.append(
            Book(
                id=n,
                title=title,
                publisher=publishers[n % 3] if n != 4 else None,
                category=categories[n % 6] if n != 5 else None,
                editor=people[n % 8] if n % 3 else None,
                price=Decimal(n * 325) / 100,
                pages=n * 50 % 170 + 1,
                rating=None if n % 5 == 0 else (n * 7 % 11) / 2,
                published=datetime.date(2023, n, 28) if n % 4 else None,
                released=at(2023, n, 28, 23, 30) if n % 4 else None,
                shelf_time=timedelta(days=n * 3, hours=n) if n % 3 else None,
                about={"weight": n * 10, "langs": ["en", "fr"][: n % 3], "isbn": {"x": str(n)}},
            )
        )
    Book.objects.bulk_create(books)
    Authorship.objects.bulk_create(
        Authorship(book_id=n, author_id=(n * k) % 5 + 1, position=k, share=Decimal(1) / 2)
        for n in range(1, 12)
        for k in ((1, 2) if n % 5 else (1,))
    )
    for n, book in enumerate(books):
        book.tags.add(*tags[: n % 4])
        if n % 2:
            Cover.objects.create(book=book, colour=("red", "blue")[n % 4 // 2], weight=n / 7)
        Edition.objects.bulk_create(
            Edition(book=book, number=number, printed=100 * n * number)
            for number in range(1, n % 3 + 1)
        )
        for k in range(n % 3):
            Note.objects.create(text=f"note {k} on {book.title}", subject=book)
    Note.objects.create(text="a tag's", subject=tags[0])
    Note.objects.create(text="a person's", subject=people[0])


def _particular() -> None:
    Particular.objects.bulk_create(
        [
            Particular(
                id=n,
                words=["alpha", "b'c", "50%", "", '"q"', "{x,y}", "NULL"][: n + 1],
                numbers=[n, None, n * n, -n],
                matrix=[[n, 1], [2, 3]],
                days=[datetime.date(2024, 1, n), datetime.date(2024, 2, n)],
                moments=[at(2024, 3, 31, 0, n), at(2024, 10, 27, n)],
                amounts=[Decimal(n) / 4, Decimal("1.10")],
                ids=[uuid.UUID(int=n)],
                addresses=["10.0.0.1", "::1"],
                flags=[True, n % 2 == 0, False],
                blobs=[b"\x00" * n, b"a'\\"],
                spans=[timedelta(days=n), timedelta(microseconds=1)],
                facts=[{"n": n}, [n], None, "t"],
                choice_list=[n / 2, 1e300],
                store={"a": str(n), "b": None, "k 'q' %": "=>", "n": "x" * n},
                int_range=Range(n, n + 5),
                big_range=Range(n * 10**12, None),
                decimal_range=Range(Decimal(n) / 2, Decimal(n), "(]"),
                date_range=Range(datetime.date(2024, 1, n), datetime.date(2024, 2, 1)),
                moment_range=Range(at(2024, 1, n), at(2024, 1, n + 1)),
                ranges=[Range(1, n + 1), Range(empty=True)],
                insensitive=["One", "ONE", "two", "Three", "é"][n - 1],
                collated=["Abc", "abc", "ABC", "é", "Z"][n - 1],
                mac=f"08:00:2b:01:02:0{n}",
            )
            for n in range(1, 6)
        ]
    )
    Particular.objects.create(id=6)
    Particular.objects.create(
        id=7,
        words=[],
        numbers=[],
        matrix=[],
        store={},
        int_range=Range(empty=True),
        decimal_range=Range(None, None),
        date_range=Range(None, datetime.date(2024, 1, 3), "[)"),
        moment_range=Range(at(2024, 5, 1), None),
        insensitive="",
    )
    texts = [
        ("A quick fox", "The quick brown fox jumps over the lazy dog.", "english"),
        ("Foxes and hounds", "Hunting with dogs; foxes run quickly away.", "english"),
        ("Le café", "Un café noir et des croissants près de l'hôtel.", "french"),
        ("Nothing", "", "simple"),
        ("Pools & loops", "A pool of connections: 100% async, it's said.", "english"),
    ]
    Document.objects.bulk_create(
        Document(id=n, title=title, body=body, language=language)
        for n, (title, body, language) in enumerate(texts, 1)
    )
    Document.objects.update(found=SearchVector("title", "body", config="english"))
    Booking.objects.bulk_create(
        Booking(
            id=n,
            room=n % 2,
            during=Range(at(2024, 1, n), at(2024, 1, n, 12)),
            code=f"c{n}",
            queue=n,
        )
        for n in range(1, 5)
    )
