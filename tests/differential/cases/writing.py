"""What changes rows, inside transactions that are rolled back."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, models, transaction
from django.db.models import Case, Exists, F, OuterRef, Q, Subquery, Value, When
from django.db.models import functions as f
from psycopg.types.range import Range

from tests.differential.data import at
from tests.differential.case import Cases
from tests.differential.models import (
    Author,
    Authorship,
    Book,
    Booking,
    Category,
    Colour,
    Cover,
    Document,
    Edition,
    Everything,
    Level,
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
from tests.differential.worlds import moment

cases = Cases()


def everything(**more: Any) -> dict[str, Any]:
    return {
        "small": -5, "integer": 2**31 - 1, "big": -(2**63), "positive_small": 3, "positive": 4,
        "positive_big": 2**63 - 1, "boolean": True, "char": "it's 100% \\ ☕", "text": "a\nb\t$1",
        "slug": "a-b", "email": "a@b.example", "url": "https://b.example/%20",
        "date": datetime.date(2024, 2, 29), "moment": moment(2024, 3, 31, 1, 30, 0, 5),
        "time": datetime.time(23, 59, 59, 999999), "duration": timedelta(days=-1, microseconds=7),
        "decimal": Decimal("-12.340"), "float": 1e-7, "binary": b"\x00\x01\xff'", "ip": "::1",
        "uuid": uuid.UUID(int=99), "file": "a/b.txt", "path": "/tmp/x", "json": {"a": [1, None]},
        "django_json": {"d": Decimal("1.5")}, "own_json": {"m": Money(5)}, "colour": Colour.BLUE,
        "level": Level.LOW, "money": Money(77), "mood": Mood.BAD, "loud": "QuIeT", **more,
    }  # fmt: skip


def book(**more: Any) -> dict[str, Any]:
    return {"title": "New", "price": Decimal("9.99"), "pages": 10, **more}


def undone(function: Any) -> Any:
    """What it gives, leaving nothing."""

    def run(rows: Any) -> Any:
        with transaction.atomic():
            found = function(rows)
            transaction.set_rollback(True)
        return found

    return run


@contextmanager
def signals() -> Iterator[list[Any]]:
    """What Django sends meanwhile, in order."""
    heard: list[Any] = []

    def hear(name: str) -> Any:
        def receiver(sender: Any, **named: Any) -> None:
            kept = {
                key: sorted(map(str, value)) if isinstance(value, set) else str(value)
                for key, value in named.items()
                if key in {"created", "raw", "update_fields", "action", "pk_set", "using", "reverse"}
            }
            instance = named.get("instance")
            heard.append((name, sender.__name__, getattr(instance, "pk", None), kept))

        return receiver

    names = ["pre_save", "post_save", "pre_delete", "post_delete", "m2m_changed"]
    receivers = {name: hear(name) for name in names}
    for name, receiver in receivers.items():
        getattr(models.signals, name).connect(receiver)
    try:
        yield heard
    finally:
        for name, receiver in receivers.items():
            getattr(models.signals, name).disconnect(receiver)


@cases.writing(Everything)
def create() -> list[Any]:
    def of_each_field(name: str, value: Any) -> Any:
        return lambda rows: rows.create(**{name: value})

    def read_again(rows: Any) -> Any:
        made = rows.create(**everything())
        return [made, rows.get(pk=made.pk)]

    return [
        lambda rows: rows.create(),
        lambda rows: rows.create(**everything()),
        lambda rows: rows.create(pk=500, char="given"),
        lambda rows: rows.create(integer="7", decimal="1.5", date="2024-01-31", boolean="True"),
        lambda rows: rows.create(json=None, own_json=[], django_json="text"),
        lambda rows: rows.create(json=Value(None, models.JSONField())),
        lambda rows: rows.create(integer=Value(3) + 4, char=f.Concat(Value("a"), Value("b"))),
        lambda rows: rows.create(moment=f.Now() - f.Now() + Value(moment(2024, 1, 1))),
        lambda rows: rows.create(decimal=1.23456, float=Decimal("0.1"), integer=4.0),
        read_again,
        *[of_each_field(*item) for item in everything().items()],
    ]


@cases.writing(Marked)
def filled_in() -> list[Any]:
    fields = ["name", "amount", "rate", "label", "doubled", "lowered"]

    def values(made: Any) -> list[Any]:
        return [getattr(made, each) for each in fields] + [type(made.born), type(made.changed)]

    def created(rows: Any) -> Any:
        return values(rows.create(name="One", made=at(2024, 1, 1), born=at(2024, 1, 1)))

    def given(rows: Any) -> Any:
        return values(rows.create(name="Two", amount=5, label="own", rate="2.25"))

    def expressed(rows: Any) -> Any:
        return values(rows.create(name="Three", amount=Value(2) + 3))

    def saved(rows: Any) -> Any:
        made = rows.get(pk=2)
        made.amount = F("amount") + 1
        before = made.changed
        made.save()
        made.refresh_from_db()
        return [values(made), made.changed > before]

    def in_bulk(rows: Any) -> Any:
        made = rows.bulk_create([rows.model(name=f"b{n}", amount=n) for n in range(3)])
        return [[each.pk, *values(each)] for each in made]

    def in_bulk_by_default(rows: Any) -> Any:
        made = rows.bulk_create([rows.model(name=f"b{n}") for n in range(3)])
        return [[each.pk, *values(each)] for each in made]

    def mixed(rows: Any) -> Any:
        made = rows.bulk_create([rows.model(name="x", amount=1), rows.model(name="y")])
        return [[each.pk, *values(each)] for each in made]

    def updated(rows: Any) -> Any:
        return [rows.update(amount=F("doubled") + 1), list(rows.order_by("pk").values(*fields))]

    def by_default(rows: Any) -> Any:
        made = rows.create(name="Four")
        return [values(made), made.get_deferred_fields()]

    # The moments of these are the clock's, on either side: their tables are not compared.
    return [undone(each) for each in (
        created, given, expressed, saved, in_bulk, in_bulk_by_default, mixed, updated, by_default,
    )]  # fmt: skip


@cases.writing(Book)
def update() -> list[Any]:
    shorter = Book.objects.filter(pages__lt=OuterRef("pages"))
    return [
        lambda rows: rows.update(pages=1),
        lambda rows: rows.filter(pk=1).update(title="it's %s", price="5.5", rating=None),
        lambda rows: rows.update(pages=F("pages") + 1, rating=F("rating") * 2),
        lambda rows: rows.update(price=F("price") * Decimal("1.1")),
        lambda rows: rows.update(price=F("pages") / 2.0),
        lambda rows: rows.update(published=F("published") + timedelta(days=1)),
        lambda rows: rows.update(released=F("released") + timedelta(hours=1), shelf_time=timedelta(1)),
        lambda rows: rows.update(released=moment(2024, 3, 31, 1, 30)),
        lambda rows: rows.update(released=f.TruncDay("released")),
        lambda rows: rows.update(title=f.Concat("title", Value(" ("), "pages", Value(")"), output_field=models.CharField())),
        lambda rows: rows.update(title=f.Upper("title"), about={"new": [1, "%"]}),
        lambda rows: rows.update(title=Case(When(pages__gt=100, then=Value("long")), default=F("title"))),
        lambda rows: rows.update(rating=Case(When(pages__gt=100, then=1.5), When(pages__gt=50, then=None), default=Value(0.0))),
        lambda rows: rows.update(pages=Case(When(pk=1, then=5), default=6)),
        lambda rows: rows.update(price=Subquery(Book.objects.filter(pk=OuterRef("pk")).values("pages"))),
        lambda rows: rows.filter(Exists(shorter)).update(editor=None),
        lambda rows: rows.filter(publisher__country="US").update(pages=7),
        lambda rows: rows.filter(tags__label="new").update(rating=5),
        lambda rows: rows.update(publisher=Publisher(pk=2)),
        lambda rows: rows.update(publisher_id=3, category=None),
        lambda rows: rows.filter(pk=99).update(pages=1),
        lambda rows: rows.filter(pk__in=range(3)).update(about=f.JSONObject(t="title", n=Value(1))),
        lambda rows: rows.filter(pk__in=Book.objects.order_by("-pages")[:2]).update(pages=0),
        lambda rows: rows.update(rating="2.5"),
        lambda rows: rows.none().update(pages=1),
    ]  # fmt: skip


@cases.writing(Everything)
def update_each_field() -> list[Any]:
    def to(name: str, value: Any) -> Any:
        return lambda rows: rows.filter(pk__lt=5).update(**{name: value})

    def empty(name: str) -> Any:
        return lambda rows: rows.update(**{name: None})

    return [to(*item) for item in everything().items()] + [empty(name) for name in everything()]


@cases.writing(Book)
def save() -> list[Any]:
    def changed(rows: Any) -> Any:
        one = rows.get(pk=1)
        one.title, one.pages = "changed", F("pages") + 5
        one.save()
        return one

    def some_fields(rows: Any) -> Any:
        one = rows.get(pk=1)
        one.title, one.price = "changed", Decimal("1.1")
        one.save(update_fields=["title"])
        one.refresh_from_db()
        return one

    def deferred(rows: Any) -> Any:
        one = rows.only("title").get(pk=1)
        one.title = "deferred"
        one.save()
        return rows.get(pk=1)

    def with_a_key(rows: Any) -> Any:
        one = rows.model(pk=777, **book())
        one.save()
        one.title = "again"
        one.save()
        return [one, rows.count()]

    def copied(rows: Any) -> Any:
        one = rows.get(pk=2)
        one.pk, one._state.adding = None, True
        one.save()
        return one

    def inherited(rows: Any) -> Any:
        author = Author(name="New", joined=moment(2024, 1, 1), pen_name="N", royalties="2.50")
        author.save()
        author.name, author.royalties = "Newer", F("royalties") * 2
        author.save()
        author.refresh_from_db()
        return [author, author.person_ptr]

    def a_parent_becomes_a_child(rows: Any) -> Any:
        author = Author(person_ptr=Person.objects.get(pk=7), pen_name="G")
        author.save_base(raw=True)
        return Author.objects.get(pk=7)

    def forced(rows: Any) -> Any:
        tag = Tag(label="forced")
        tag.id = uuid.UUID(int=500)
        tag.save(force_insert=True)
        tag.label = "changed"
        tag.save(force_update=True)
        return tag

    def composite(rows: Any) -> Any:
        edition = Edition.objects.create(pk=(1, 50), printed=5)
        edition.printed = 6
        edition.save()
        return [edition, Edition.objects.filter(pk=(1, 50)).update(printed=F("printed") + 1)]

    def generic(rows: Any) -> Any:
        one = rows.get(pk=1)
        note = one.notes.create(text="written")
        return [note, note.subject, one.notes.count()]

    def one_to_one(rows: Any) -> Any:
        cover = Cover.objects.create(book_id=1, colour="grey")
        return [cover, rows.select_related("cover").get(pk=1)]

    return [
        changed, some_fields, deferred, with_a_key, copied, inherited, a_parent_becomes_a_child,
        forced, composite, generic, one_to_one,
    ]  # fmt: skip


@cases.writing(Book)
def delete() -> list[Any]:
    def an_instance(rows: Any) -> Any:
        one = rows.get(pk=2)
        return [one.delete(), one.pk]

    def through_a_relation(rows: Any) -> Any:
        return rows.get(pk=3).tags.all().delete()

    def with_signals(rows: Any) -> Any:
        with signals() as heard:
            return [rows.filter(pk__lte=3).delete(), heard]

    return [
        lambda rows: rows.all().delete(),
        lambda rows: rows.filter(pk=1).delete(),
        lambda rows: rows.filter(pk=99).delete(),
        lambda rows: rows.filter(pages__gt=100, publisher__country="US").delete(),
        lambda rows: rows.filter(pk__in=range(5)).delete(),
        lambda rows: rows.exclude(tags__label="new").delete(),
        lambda rows: rows.none().delete(),
        an_instance,
        through_a_relation,
        with_signals,
    ]


@cases.writing(Person)
def delete_cascades() -> list[Any]:
    def fast(rows: Any) -> Any:
        return Note.objects.all()._raw_delete("default")

    return [
        lambda rows: rows.filter(pk=1).delete(),
        lambda rows: rows.all().delete(),
        lambda rows: rows.filter(author__isnull=True).delete(),
        lambda rows: rows.filter(mentor=1).delete(),
        fast,
    ]


@cases.writing(Category)
def delete_restricted() -> list[Any]:
    def all_of_it(rows: Any) -> Any:
        Book.objects.all().delete()
        return rows.all().delete()

    return [all_of_it, lambda rows: rows.filter(name="poems", book=None).delete()]


@cases.writing(Everything)
def bulk_create() -> list[Any]:
    def of(count: int, **more: Any) -> Any:
        def run(rows: Any) -> Any:
            made = [rows.model(**everything(small=n)) for n in range(count)]
            found = rows.bulk_create(made, **more)
            return [found, [each.pk for each in found]]

        return run

    def with_keys(rows: Any) -> Any:
        return rows.bulk_create([rows.model(pk=600 + n, **everything()) for n in range(3)])

    def some_with_keys(rows: Any) -> Any:
        return rows.bulk_create([rows.model(pk=600, char="a"), rows.model(char="b")])

    def empty(rows: Any) -> Any:
        return rows.bulk_create([rows.model(), rows.model(json=None), rows.model(char="")])

    def expressions(rows: Any) -> Any:
        return rows.bulk_create([rows.model(integer=Value(1) + 2), rows.model(integer=5)]) and list(
            rows.order_by("-pk").values("integer")[:2]
        )

    def texts(rows: Any) -> Any:
        made = ["", "\\N", "a\tb", "a\nb", "\\.", "'", "%s", "☕", '"', "\r", "\\", "NULL", "\x01"]
        rows.bulk_create([rows.model(char=each, text=each) for each in made])
        rows.bulk_create([rows.model(pk=700 + n, text=each) for n, each in enumerate(made)])
        return list(rows.order_by("-pk").values_list("char", "text")[:30])

    return [of(0), of(1), of(3), of(7, batch_size=3), with_keys, some_with_keys, empty, expressions, texts]  # fmt: skip


@cases.writing(Tag)
def bulk_create_on_conflict() -> list[Any]:
    def tags(rows: Any) -> list[Any]:
        return [
            rows.model(id=uuid.UUID(int=900 + n), label=label)
            for n, label in enumerate(["new", "fresh", "rare"])
        ]

    return [
        lambda rows: rows.bulk_create(tags(rows), ignore_conflicts=True),
        lambda rows: rows.bulk_create(tags(rows)[1:2]),
        lambda rows: rows.bulk_create([rows.model(label="own default", id=uuid.UUID(int=5000))]),
    ]


@cases.writing(Publisher)
def upserts() -> list[Any]:
    def made(rows: Any) -> list[Any]:
        day = datetime.date(2000, 1, 1)
        names = ["Acme", "Brand New", "Éditions"]
        return [rows.model(name=each, country="XX", founded=day) for each in names]

    def updated(rows: Any) -> Any:
        return rows.bulk_create(
            made(rows),
            update_conflicts=True,
            unique_fields=["name"],
            update_fields=["country", "founded"],
        )

    def ignored(rows: Any) -> Any:
        return rows.bulk_create(made(rows), ignore_conflicts=True, batch_size=2)

    return [updated, ignored]


@cases.writing(Particular)
def particular_values() -> list[Any]:
    def values(**more: Any) -> dict[str, Any]:
        return {
            "words": ["a", "b'c", "%s", "", "NULL", "{x}", '"', "\\"], "numbers": [1, None, 3],
            "matrix": [[1, 2], [3, 4]], "days": [datetime.date(2024, 1, 1)],
            "moments": [moment(2024, 3, 31, 1, 30)], "amounts": [Decimal("1.50")],
            "ids": [uuid.UUID(int=1)], "addresses": ["10.0.0.1"], "flags": [True, False, True],
            "blobs": [b"\x00'", b""], "spans": [timedelta(1)], "facts": [{"a": 1}, "t", None],
            "choice_list": [0.5, 1e-5], "store": {"a": "1", "b": None, 'q"': "'%"},
            "int_range": (1, 5), "big_range": Range(2**40, None),
            "decimal_range": Range(Decimal("1.5"), 2, "(]"),
            "date_range": (datetime.date(2024, 1, 1), None),
            "moment_range": Range(moment(2024, 1, 1), moment(2024, 1, 2)),
            "ranges": [Range(1, 2), Range(empty=True)], "insensitive": "One", "collated": "z",
            "mac": "08:00:2b:01:02:03", **more,
        }  # fmt: skip

    def one(rows: Any) -> Any:
        made = rows.create(**values())
        return [made, rows.get(pk=made.pk)]

    def of(name: str) -> Any:
        return lambda rows: rows.filter(pk__lt=3).update(**{name: values()[name]})

    def many(rows: Any) -> Any:
        rows.bulk_create([rows.model(**values()), rows.model(), rows.model(**values(words=[]))])
        return rows.filter(pk__gt=9).order_by("pk")

    def many_with_keys(rows: Any) -> Any:
        rows.bulk_create([rows.model(pk=50, **values()), rows.model(pk=51)])
        return rows.filter(pk__gte=50).order_by("pk")

    def changed(rows: Any) -> Any:
        found = list(rows.order_by("pk"))
        for each in found:
            each.words, each.store, each.int_range = ["%s"], {"k": "v"}, Range(2, 3)
        return [rows.bulk_update(found, ["words", "store", "int_range"]), rows.order_by("pk")]

    return [one, many, many_with_keys, changed, *[of(name) for name in values()]]


@cases.writing(Everything)
def bulk_update() -> list[Any]:
    def of(*fields: str, **more: Any) -> Any:
        def run(rows: Any) -> Any:
            found = list(rows.order_by("pk")[:4])
            new = everything()
            for n, each in enumerate(found):
                for name in fields:
                    setattr(each, name, None if n == 2 else new[name])
            return [rows.bulk_update(found, fields, **more), rows.order_by("pk")]

        return run

    def expressed(rows: Any) -> Any:
        found = list(rows.order_by("pk")[:3])
        for each in found:
            each.integer = F("integer") + each.pk
        return [rows.bulk_update(found, ["integer"]), rows.order_by("pk").values("integer")]

    return [of(name) for name in everything()] + [
        of("char", "integer", "moment", "json", "uuid", "money"),
        of("text", "decimal", batch_size=2),
        expressed,
        lambda rows: rows.bulk_update([], ["char"]),
    ]


@cases.writing(Publisher)
def get_or_create() -> list[Any]:
    new = {"country": "DE", "founded": datetime.date(1999, 9, 9)}

    def from_a_function(rows: Any) -> Any:
        return rows.get_or_create(name="New", defaults={**new, "country": lambda: "IT"})

    def signalled(rows: Any) -> Any:
        with signals() as heard:
            found = rows.update_or_create(name="Acme", defaults={"country": "CA"})
            rows.get_or_create(name="New", defaults=new)
            return [found, heard]

    def through_a_relation(rows: Any) -> Any:
        return rows.get(pk=1).books.get_or_create(title="Related", defaults={"price": 1, "pages": 2})

    return [
        lambda rows: rows.get_or_create(name="Acme", defaults=new),
        lambda rows: rows.get_or_create(name="New", defaults=new),
        lambda rows: rows.get_or_create(name__iexact="acme", defaults=new),
        lambda rows: rows.update_or_create(name="Acme", defaults={"country": "CA"}),
        lambda rows: rows.update_or_create(name="New", defaults={"country": "CA"}, create_defaults=new),
        lambda rows: rows.update_or_create(name="Acme", defaults={"country": f.Lower("country")}),
        lambda rows: rows.filter(country="US").get_or_create(name="Acme", defaults=new),
        from_a_function,
        signalled,
        through_a_relation,
    ]  # fmt: skip


@cases.writing(Book)
def relations() -> list[Any]:
    def many(rows: Any) -> Any:
        with signals() as heard:
            one = rows.get(pk=1)
            tags = list(Tag.objects.order_by("label"))
            one.tags.add(*tags[:3])
            one.tags.remove(tags[0])
            one.tags.set(tags[2:])
            one.tags.add(tags[2], uuid.UUID(int=5))
            made = one.tags.create(id=uuid.UUID(int=77), label="made")
            one.tags.get_or_create(label="made")
            found = list(one.tags.order_by("label"))
            one.tags.clear()
            return [made, found, heard]

    def through(rows: Any) -> Any:
        one = rows.get(pk=1)
        one.authors.clear()
        one.authors.add(Author.objects.get(pk=1), through_defaults={"position": 9})
        one.authors.set([1, 2], through_defaults={"share": Decimal("0.25")})
        return [one.authors.order_by("pk"), one.authorship_set.order_by("author")]

    def reverse(rows: Any) -> Any:
        publisher = Publisher.objects.get(pk=1)
        publisher.books.add(rows.get(pk=4), bulk=False)
        publisher.books.set(rows.filter(pk__in=[4, 5]).order_by("pk"), clear=False)
        return [publisher.books.order_by("pk"), rows.filter(publisher=None).count()]

    def symmetrical(rows: Any) -> Any:
        one, two = Person.objects.filter(pk__in=[6, 7]).order_by("pk")
        one.friends.add(two)
        two.follows.add(one)
        return [two.friends.all(), one.followers.order_by("pk"), one.friends.count()]

    def generic(rows: Any) -> Any:
        one = rows.get(pk=2)
        one.notes.add(Note(text="added"), bulk=False)
        one.notes.set([Note.objects.create(text="set", subject=one)])
        return one.notes.order_by("pk")

    return [many, through, reverse, symmetrical, generic]


@cases.writing(Odd)
def odd_names() -> list[Any]:
    def made(rows: Any) -> Any:
        one = rows.create(select=1, quoted="%", spaced="'", dollar=2, accented="%s", other_id=1)
        one.quoted = F("spaced")
        one.save()
        one.refresh_from_db()
        return [one, rows.bulk_create([rows.model(select=2, dollar=3), rows.model(pk=90, select=1, dollar=1)])]  # fmt: skip # noqa: E501

    return [
        made,
        lambda rows: rows.filter(spaced__contains="%").update(quoted=f.Upper("accented")),
        lambda rows: rows.filter(pk=1).delete(),
    ]


@cases.writing(Document)
def search_vectors() -> list[Any]:
    from django.contrib.postgres.search import SearchVector

    return [
        lambda rows: rows.update(found=SearchVector("body", config="english")),
        lambda rows: rows.filter(pk=1).update(title="Changed %s", language="simple"),
        lambda rows: rows.create(title="New", body="A new document's body"),
    ]


@cases.writing(Booking)
def transactions() -> list[Any]:
    def savepoints(rows: Any) -> Any:
        rows.filter(pk=1).update(code="a")
        point = transaction.savepoint()
        rows.filter(pk=2).update(code="b")
        transaction.savepoint_rollback(point)
        point = transaction.savepoint()
        rows.filter(pk=3).update(code="c")
        transaction.savepoint_commit(point)
        return rows.order_by("pk").values_list("code", flat=True)

    def caught(rows: Any) -> Any:
        try:
            with transaction.atomic():
                rows.filter(pk=1).update(code="lost")
                rows.create(pk=2)
        except Exception as error:
            return [error, rows.order_by("pk").values_list("code", flat=True)]
        return None

    def marked(rows: Any) -> Any:
        with transaction.atomic():
            rows.all().delete()
            transaction.set_rollback(True)
        return rows.count()

    def deferred_constraints(rows: Any) -> Any:
        rows.filter(pk=1).update(queue=2)
        rows.filter(pk=2).update(queue=1)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        return rows.order_by("pk").values_list("queue", flat=True)

    def by_hand(rows: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE differential_booking SET code = %s WHERE room = %s", ["%", 1])
            counted = cursor.rowcount
            cursor.execute("SELECT id, code, lower(during) FROM differential_booking ORDER BY id")
            names = [each[0] for each in cursor.description]
            first, some = cursor.fetchone(), cursor.fetchmany(2)
            rest = list(cursor)
            cursor.executemany(
                "INSERT INTO differential_booking (room, during, code, queue) VALUES (%s, %s, %s, %s)",
                [(5, Range(at(2025, 1, n), at(2025, 1, n, 5)), "x", 50 + n) for n in (1, 2)],
            )
            return [counted, names, first, some, rest, cursor.rowcount]

    def in_between(rows: Any) -> Any:
        return [
            connection.in_atomic_block,
            transaction.get_autocommit(),
            [each.pk for each in rows.filter(Q(room=1)).order_by("pk").iterator(1)],
            list(Authorship.objects.filter(book=1).values("position").order_by("position")),
        ]

    return [savepoints, caught, marked, deferred_constraints, by_hand, in_between]


@cases.refused(Book)
def what_the_database_refuses() -> list[Any]:
    def unique(rows: Any) -> Any:
        Publisher.objects.create(name="Acme", country="US", founded="2000-01-01")

    def together(rows: Any) -> Any:
        Authorship.objects.create(book_id=1, author_id=2)

    def not_null(rows: Any) -> Any:
        Publisher.objects.create(name="Null", country=None, founded="2000-01-01")

    def check(rows: Any) -> Any:
        Marked.objects.filter(pk=1).update(amount=-1)

    def exclusion(rows: Any) -> Any:
        Booking.objects.create(room=1, during=Range(at(2024, 1, 1), at(2024, 1, 9)), queue=9)

    def foreign_key(rows: Any) -> Any:
        rows.create(**book(publisher_id=12345))
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def deferred(rows: Any) -> Any:
        Booking.objects.filter(pk=1).update(queue=2)
        connection.check_constraints()

    def too_long(rows: Any) -> Any:
        Booking.objects.filter(pk=1).update(code="much too long")

    def broken(rows: Any) -> Any:
        try:
            unique(rows)
        except Exception:
            return rows.count()

    def composite(rows: Any) -> Any:
        return Edition.objects.create(book_id=2, number=1)

    return [
        unique, together, not_null, check, exclusion, foreign_key, deferred, too_long, broken,
        composite,
        lambda rows: rows.create(title="no price"),
        lambda rows: rows.create(**book(title="x" * 101)),
        lambda rows: rows.create(**book(price=Decimal("1e9"))),
        lambda rows: rows.create(**book(price="x")),
        lambda rows: rows.create(**book(pages=2**40)),
        lambda rows: rows.create(**book(pages=-5)),
        lambda rows: rows.create(**book(title="nul\x00")),
        lambda rows: rows.create(**book(about={"nul": "\x00"})),
        lambda rows: rows.create(**book(rating="x")),
        lambda rows: rows.create(**book(published="x")),
        lambda rows: rows.create(**book(released=5)),
        lambda rows: rows.create(**book(publisher=Publisher(name="unsaved"))),
        lambda rows: rows.create(**book(nothing=1)),
        lambda rows: rows.create(pk=1, **book()),
        lambda rows: rows.update(pages=-1),
        lambda rows: rows.update(price=F("price") / 0),
        lambda rows: rows.update(title=F("authors__name")),
        lambda rows: rows.update(nothing=1),
        lambda rows: rows.update(pages=F("pages") + 2**31),
        lambda rows: rows.update(title=None),
        lambda rows: rows.order_by("pk")[:3].update(pages=1),
        lambda rows: rows.order_by("pk")[:3].delete(),
        lambda rows: rows.bulk_create([rows.model(pk=1, **book())]),
        lambda rows: rows.bulk_create([rows.model(pk=800, **book(pages=-1))]),
        lambda rows: rows.bulk_create([rows.model(**book(title="x" * 101))]),
        lambda rows: rows.bulk_create([rows.model(**book(price="x"))]),
        lambda rows: rows.bulk_create([rows.model()]),
        lambda rows: rows.bulk_create([rows.model(**book(title="nul\x00"))]),
        lambda rows: rows.bulk_create([rows.model(pk=800, **book(title="nul\x00"))]),
        lambda rows: rows.bulk_create([rows.model(**book())], ignore_conflicts=True, update_conflicts=True),
        lambda rows: rows.bulk_create([], batch_size=-1),
        lambda rows: rows.bulk_update([rows.model(pk=1, pages=-1)], ["pages"]),
        lambda rows: rows.bulk_update([rows.model()], ["pages"]),
        lambda rows: rows.bulk_update([rows.model(pk=1)], ["pk"]),
        lambda rows: rows.get_or_create(title="The Pool"),
        lambda rows: rows.get_or_create(title="Incomplete"),
        lambda rows: rows.update_or_create(title="A Loop", defaults={"pages": -1}),
    ]  # fmt: skip


@cases.refused(Publisher)
def what_django_refuses() -> list[Any]:
    def unsaved(rows: Any) -> Any:
        return rows.model().delete()

    def gone(rows: Any) -> Any:
        one = rows.get(pk=4)
        rows.filter(pk=4).delete()
        one.refresh_from_db()

    def not_there(rows: Any) -> Any:
        rows.model(pk=99, name="x", country="X", founded="2000-01-01").save(force_update=True)

    def wrong_kind(rows: Any) -> Any:
        Book.objects.get(pk=1).tags.add(rows.get(pk=1))

    def in_a_broken_block(rows: Any) -> Any:
        transaction.set_rollback(True)
        return rows.count()

    return [
        unsaved, gone, not_there, wrong_kind, in_a_broken_block,
        lambda rows: rows.filter(pk=1).delete(),
        lambda rows: rows.filter(pk=1).update(books=5),
        lambda rows: rows.values("pk").delete(),
        lambda rows: rows.distinct("country").delete(),
    ]  # fmt: skip
