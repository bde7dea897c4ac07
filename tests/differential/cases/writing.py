"""What changes rows, inside transactions that are rolled back."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import models, transaction
from django.db.models import Case, Exists, F, OuterRef, Subquery, Value, When
from django.db.models import functions as f

from tests.differential.case import Cases
from tests.differential.cases.values import book, everything
from tests.differential.data import at
from tests.differential.models import (
    Author,
    Book,
    Category,
    Cover,
    Document,
    Edition,
    Everything,
    Marked,
    Note,
    Odd,
    Person,
    Publisher,
    Tag,
)
from tests.differential.worlds import moment

cases = Cases()


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
                if key
                in {"created", "raw", "update_fields", "action", "pk_set", "using", "reverse"}
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
    return [
        undone(each)
        for each in (
            created,
            given,
            expressed,
            saved,
            in_bulk,
            in_bulk_by_default,
            mixed,
            updated,
            by_default,
        )
    ]


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
        lambda rows: rows.update(
            released=F("released") + timedelta(hours=1), shelf_time=timedelta(1)
        ),
        lambda rows: rows.update(released=moment(2024, 3, 31, 1, 30)),
        lambda rows: rows.update(released=f.TruncDay("released")),
        lambda rows: rows.update(
            title=f.Concat(
                "title", Value(" ("), "pages", Value(")"), output_field=models.CharField()
            )
        ),
        lambda rows: rows.update(title=f.Upper("title"), about={"new": [1, "%"]}),
        lambda rows: rows.update(
            title=Case(When(pages__gt=100, then=Value("long")), default=F("title"))
        ),
        lambda rows: rows.update(
            rating=Case(
                When(pages__gt=100, then=1.5), When(pages__gt=50, then=None), default=Value(0.0)
            )
        ),
        lambda rows: rows.update(pages=Case(When(pk=1, then=5), default=6)),
        lambda rows: rows.update(
            price=Subquery(Book.objects.filter(pk=OuterRef("pk")).values("pages"))
        ),
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
    ]


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
        changed,
        some_fields,
        deferred,
        with_a_key,
        copied,
        inherited,
        a_parent_becomes_a_child,
        forced,
        composite,
        generic,
        one_to_one,
    ]


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
        return rows.get(pk=1).books.get_or_create(
            title="Related", defaults={"price": 1, "pages": 2}
        )

    return [
        lambda rows: rows.get_or_create(name="Acme", defaults=new),
        lambda rows: rows.get_or_create(name="New", defaults=new),
        lambda rows: rows.get_or_create(name__iexact="acme", defaults=new),
        lambda rows: rows.update_or_create(name="Acme", defaults={"country": "CA"}),
        lambda rows: rows.update_or_create(
            name="New", defaults={"country": "CA"}, create_defaults=new
        ),
        lambda rows: rows.update_or_create(name="Acme", defaults={"country": f.Lower("country")}),
        lambda rows: rows.filter(country="US").get_or_create(name="Acme", defaults=new),
        from_a_function,
        signalled,
        through_a_relation,
    ]


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
        return [
            one,
            rows.bulk_create(
                [rows.model(select=2, dollar=3), rows.model(pk=90, select=1, dollar=1)]
            ),
        ]

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
