"""What is joined, and what is fetched along."""

from __future__ import annotations

from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.contrib.contenttypes.prefetch import GenericPrefetch
from django.db.models import Count, F, FilteredRelation, Prefetch, Q, prefetch_related_objects

from tests.differential.case import Cases
from tests.differential.models import (
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

cases = Cases()


@cases.reading(Book)
def select_related() -> list[Any]:
    return [
        lambda rows: rows.select_related().order_by("pk"),
        lambda rows: rows.select_related("publisher").order_by("pk"),
        lambda rows: rows.select_related("publisher", "category__parent__parent").order_by("pk"),
        lambda rows: rows.select_related("editor__mentor__mentor").order_by("pk"),
        lambda rows: rows.select_related("cover").order_by("pk"),
        lambda rows: rows.select_related("summary", "cover").order_by("pk"),
        lambda rows: rows.select_related("editor__author").order_by("pk"),
        lambda rows: rows.select_related("publisher").select_related(None).order_by("pk"),
        lambda rows: (
            rows.select_related("publisher").only("title", "publisher__name").order_by("pk")
        ),
        lambda rows: (
            rows.select_related("publisher").defer("publisher__country", "about").order_by("pk")
        ),
        lambda rows: (
            rows.select_related("category").filter(category__parent__name="all").order_by("pk")
        ),
        lambda rows: rows.select_related("publisher").get(pk=2),
        lambda rows: rows.select_related("editor").first(),
        lambda rows: rows.select_related("editor").filter(editor__isnull=True).order_by("pk"),
        lambda rows: rows.select_related("publisher")[1:4],
        lambda rows: rows.select_related("category").annotate(n=Count("tags")).order_by("pk"),
    ]


@cases.reading(Book)
def prefetch_related() -> list[Any]:
    return [
        lambda rows: rows.prefetch_related("tags").order_by("pk"),
        lambda rows: rows.prefetch_related("authors").order_by("pk"),
        lambda rows: rows.prefetch_related("authors__friends").order_by("pk"),
        lambda rows: rows.prefetch_related("authorship_set__author").order_by("pk"),
        lambda rows: rows.prefetch_related("publisher", "category__parent").order_by("pk"),
        lambda rows: rows.prefetch_related("publisher__books__tags").order_by("pk"),
        lambda rows: rows.prefetch_related("editions").order_by("pk"),
        lambda rows: rows.prefetch_related("notes").order_by("pk"),
        lambda rows: rows.prefetch_related("notes__subject").order_by("pk"),
        lambda rows: rows.prefetch_related("cover").order_by("pk"),
        lambda rows: rows.prefetch_related("cover__book__publisher").order_by("pk"),
        lambda rows: (
            rows.select_related("editor").prefetch_related("editor__pupils").order_by("pk")
        ),
        lambda rows: rows.prefetch_related("tags").prefetch_related(None).order_by("pk"),
        lambda rows: rows.prefetch_related("tags").get(pk=3),
        lambda rows: rows.prefetch_related("tags").filter(pk__gt=99),
        lambda rows: rows.prefetch_related("tags").order_by("pk")[3:6],
        lambda rows: rows.prefetch_related(
            "authors", "authors__books", "authors__books__tags"
        ).order_by("pk"),
    ]


@cases.reading(Book)
def prefetch_objects() -> list[Any]:
    return [
        lambda rows: rows.prefetch_related(
            Prefetch("tags", queryset=Tag.objects.filter(label__contains="%"))
        ).order_by("pk"),
        lambda rows: rows.prefetch_related(
            Prefetch("tags", Tag.objects.order_by("-label"), to_attr="labelled")
        ).order_by("pk"),
        lambda rows: rows.prefetch_related(
            Prefetch("authors", Author.objects.order_by("name"), to_attr="writers"),
            Prefetch("writers__pupils", Person.objects.order_by("-pk"), to_attr="taught"),
        ).order_by("pk"),
        lambda rows: rows.prefetch_related(
            Prefetch("editor", Person.objects.only("name", "mentor__name").select_related("mentor"))
        ).order_by("pk"),
        lambda rows: rows.prefetch_related(
            Prefetch("editions", Edition.objects.filter(number__gt=1).order_by("-number"))
        ).order_by("pk"),
        lambda rows: rows.prefetch_related(
            Prefetch("authors", Author.objects.annotate(n=Count("books")).order_by("pk"))
        ).order_by("pk"),
        lambda rows: rows.prefetch_related(
            Prefetch("tags", Tag.objects.order_by("label")[:1], to_attr="one")
        ).order_by("pk"),
        lambda rows: rows.prefetch_related(
            Prefetch("authorship_set", Authorship.objects.order_by("-position")[:1], to_attr="last")
        ).order_by("pk"),
        lambda rows: rows.prefetch_related(
            Prefetch("notes", Note.objects.filter(text__startswith="note 1"), to_attr="second")
        ).order_by("pk"),
        lambda rows: rows.prefetch_related(
            Prefetch("publisher", Publisher.objects.prefetch_related("books"))
        ).order_by("pk"),
        lambda rows: rows.prefetch_related(
            Prefetch(
                "category",
                Category.objects.prefetch_related(
                    Prefetch("children", Category.objects.order_by("-name"), to_attr="below")
                ),
            )
        ).order_by("pk"),
        lambda rows: rows.prefetch_related(
            Prefetch("tags", Tag.objects.none(), to_attr="nothing")
        ).order_by("pk"),
    ]


@cases.reading(Person)
def inherited_tables() -> list[Any]:
    return [
        lambda rows: rows.order_by("pk"),
        lambda rows: rows.select_related("author").order_by("pk"),
        lambda rows: rows.filter(author__isnull=False).order_by("pk"),
        lambda rows: rows.filter(author__royalties__gt=2).order_by("pk"),
        lambda rows: rows.prefetch_related("friends", "follows", "followers").order_by("pk"),
        lambda rows: rows.filter(friends__name="Bob").order_by("pk"),
        lambda rows: rows.filter(followers__name__startswith="Fay").order_by("pk"),
        lambda rows: rows.filter(mentor__mentor__isnull=False).order_by("name"),
        lambda rows: rows.filter(edited_book__title__contains="Pool").distinct().order_by("pk"),
        lambda rows: rows.prefetch_related("pupils__pupils").filter(mentor=None).order_by("pk"),
        lambda rows: rows.filter(mentor=Person(pk=1)).order_by("pk"),
        lambda rows: rows.filter(mentor__in=Person.objects.filter(pk__lt=3)).order_by("pk"),
        lambda rows: rows.exclude(friends__name="Bob").order_by("pk"),
        lambda rows: rows.exclude(pupils__active=False).order_by("pk"),
        lambda rows: rows.values("author__pen_name", "name").order_by("pk"),
        lambda rows: rows.values_list("mentor__mentor__name", flat=True).order_by("pk"),
    ]


@cases.reading(Author)
def children_of_tables() -> list[Any]:
    return [
        lambda rows: rows.order_by("pk"),
        lambda rows: rows.order_by("-royalties", "name"),
        lambda rows: rows.only("pen_name").order_by("pk"),
        lambda rows: rows.defer("name", "royalties").order_by("pk"),
        lambda rows: rows.select_related("person_ptr", "mentor").order_by("pk"),
        lambda rows: rows.filter(name__startswith="C", royalties__gt=1),
        lambda rows: rows.filter(books__title="The Pool").distinct().order_by("pk"),
        lambda rows: rows.prefetch_related("books__publisher").order_by("pk"),
        lambda rows: (
            rows.filter(authorship__position=2, authorship__share__lt=1)
            .annotate(n=Count("pk"))
            .order_by("pk")
        ),
        lambda rows: rows.values("name", "pen_name", "person_ptr_id").order_by("pk"),
        lambda rows: rows.order_by("pk").in_bulk([1, 3, 99]),
        lambda rows: rows.dates("born", "year"),
        lambda rows: (
            rows.filter(Q(books__pages__gt=100) & ~Q(books__pages__gt=150))
            .distinct()
            .order_by("pk")
        ),
    ]


@cases.reading(Cheap)
def proxies() -> list[Any]:
    return [
        lambda rows: rows.all(),
        lambda rows: rows.select_related("publisher").filter(pages__gt=60),
        lambda rows: rows.prefetch_related("tags", "notes"),
        lambda rows: rows.values_list("pk", "price"),
        lambda rows: rows.reverse()[:2],
        lambda rows: rows.last(),
    ]


@cases.reading(BookSummary)
def views() -> list[Any]:
    return [
        lambda rows: rows.order_by("pk"),
        lambda rows: rows.filter(author_count__gt=1, names__contains="Ada").order_by("pk"),
        lambda rows: rows.select_related("book__publisher").order_by("-book__price"),
        lambda rows: rows.values("author_count").annotate(n=Count("pk")).order_by("author_count"),
        lambda rows: rows.filter(book__tags__label="new").order_by("pk"),
    ]


@cases.reading(Note)
def generic_relations() -> list[Any]:
    return [
        lambda rows: rows.prefetch_related("subject").order_by("pk"),
        lambda rows: rows.prefetch_related(
            GenericPrefetch(
                "subject", [Book.objects.only("title"), Tag.objects.all(), Person.objects.all()]
            )
        ).order_by("pk"),
        lambda rows: rows.filter(book__title__startswith="The").order_by("pk"),
        lambda rows: rows.filter(content_type__model="tag"),
        lambda rows: rows.filter(content_type=ContentType.objects.get_for_model(Person)),
        lambda rows: rows.select_related("content_type").order_by("pk"),
        lambda rows: rows.values("content_type__model").annotate(n=Count("*")).order_by("n"),
        lambda rows: rows.filter(book__publisher__country="FR").order_by("pk").values_list("text"),
    ]


@cases.reading(Tag)
def keys_that_are_uuids() -> list[Any]:
    return [
        lambda rows: rows.order_by("pk"),
        lambda rows: rows.order_by("pk").in_bulk(),
        lambda rows: rows.order_by("pk").in_bulk(["new", "old"], field_name="label"),
        lambda rows: rows.filter(books__isnull=True),
        lambda rows: rows.prefetch_related("books", "notes").order_by("pk"),
        lambda rows: rows.get(pk="00000000-0000-0000-0000-000000000001"),
        lambda rows: rows.filter(pk__in=Tag.objects.filter(label="rare")),
        lambda rows: rows.filter(books__publisher__name="Acme").distinct().order_by("label"),
    ]


@cases.reading(Edition)
def composite_keys() -> list[Any]:
    return [
        lambda rows: rows.order_by("pk"),
        lambda rows: rows.order_by("-pk"),
        lambda rows: rows.get(pk=(2, 1)),
        lambda rows: rows.filter(pk__in=[(2, 1), (2, 2), (1, 9)]).order_by("pk"),
        lambda rows: rows.filter(pk__gt=(5, 1)).order_by("pk"),
        lambda rows: rows.filter(pk__gte=(5, 1), pk__lt=(9, 0)).order_by("pk"),
        lambda rows: rows.values("pk", "printed").order_by("pk"),
        lambda rows: rows.values_list("pk", flat=True).order_by("pk"),
        lambda rows: rows.select_related("book").filter(book__title__contains="o").order_by("pk"),
        lambda rows: rows.order_by("pk").in_bulk([(2, 1), (3, 1)]),
        lambda rows: rows.filter(pk__exact=(2, 2)).count(),
        lambda rows: rows.exclude(pk=(2, 1)).order_by("pk")[:4],
        lambda rows: rows.aggregate(n=Count("pk")),
        lambda rows: rows.only("printed").order_by("pk"),
        lambda rows: rows.filter(
            pk__in=Edition.objects.filter(printed__gt=500).values("pk")
        ).order_by("pk"),
        lambda rows: rows.first(),
    ]


@cases.reading(Category)
def trees() -> list[Any]:
    return [
        lambda rows: rows.all(),
        lambda rows: rows.order_by("parent", "pk"),
        lambda rows: rows.order_by("parent__parent__name", "pk"),
        lambda rows: rows.select_related("parent__parent").reverse(),
        lambda rows: rows.filter(children__children__isnull=True).distinct().order_by("pk"),
        lambda rows: rows.prefetch_related("children__children__book_set").order_by("pk"),
        lambda rows: rows.annotate(n=Count("children")).filter(n__gt=1).order_by("pk"),
    ]


@cases.reading(Publisher)
def filtered_relations() -> list[Any]:
    return [
        lambda rows: (
            rows.annotate(long=FilteredRelation("books", condition=Q(books__pages__gt=100)))
            .filter(long__isnull=False)
            .distinct()
        ),
        lambda rows: rows.annotate(
            long=FilteredRelation("books", condition=Q(books__title__contains="%"))
        ).values_list("name", "long__title"),
        lambda rows: (
            rows.annotate(
                dear=FilteredRelation("books", condition=Q(books__price__gt=F("books__pages") / 10))
            )
            .annotate(n=Count("dear"))
            .values("name", "n")
        ),
        lambda rows: rows.filter(books__authors__name="Ada").distinct(),
        lambda rows: rows.filter(books__in=Book.objects.filter(pages__lt=60)).distinct(),
        lambda rows: rows.exclude(books__rating__gt=3),
        lambda rows: rows.filter(Q(books=None) | Q(country="FR")).distinct(),
        lambda rows: rows.prefetch_related("books__category", "books__editor__mentor"),
    ]


@cases.reading(Cover)
def one_to_one() -> list[Any]:
    return [
        lambda rows: rows.order_by("pk"),
        lambda rows: rows.select_related("book__publisher").order_by("pk"),
        lambda rows: rows.filter(book__pages__gt=60).order_by("weight"),
        lambda rows: rows.filter(book=Book(pk=2)),
        lambda rows: rows.values("book__title", "colour").order_by("book"),
    ]


@cases.reading(Book)
def through_instances() -> list[Any]:
    def managers(rows: Any) -> Any:
        book = rows.get(pk=2)
        return [
            book.publisher,
            book.tags.order_by("label"),
            book.authors.filter(name__lt="D").order_by("pk"),
            book.authorship_set.order_by("position"),
            book.notes.order_by("pk"),
            book.editor.pupils.order_by("pk"),
            book.editions.count(),
            book.category.book_set.order_by("pk"),
            book.tags.through.objects.order_by("pk").filter(book=book),
        ]

    def deferred(rows: Any) -> Any:
        book = rows.only("title").get(pk=3)
        before = book.get_deferred_fields()
        return [before, book.pages, book.about, book.get_deferred_fields()]

    def refreshed(rows: Any) -> Any:
        book = rows.get(pk=3)
        book.title = "other"
        book.refresh_from_db(fields=["title", "publisher"])
        return book

    def prefetched_later(rows: Any) -> Any:
        books = list(rows.order_by("pk")[:5])
        prefetch_related_objects(books, "tags", Prefetch("authors", to_attr="writers"))
        return books

    def next_and_previous(rows: Any) -> Any:
        person = Person.objects.get(pk=5)
        return [person.get_next_by_joined(), person.get_previous_by_joined(active=True)]

    def known_related(rows: Any) -> Any:
        publisher = Publisher.objects.get(pk=1)
        return [publisher.books.order_by("pk"), publisher.books.select_related("category").first()]

    return [managers, deferred, refreshed, prefetched_later, next_and_previous, known_related]


@cases.failing(Book)
def absent_relations() -> list[Any]:
    def the_other_end(rows: Any) -> Any:
        return rows.get(pk=1).cover

    return [
        lambda rows: rows.select_related("nothing").order_by("pk"),
        lambda rows: rows.prefetch_related("nothing").order_by("pk"),
        lambda rows: rows.prefetch_related("title").order_by("pk"),
        lambda rows: rows.filter(publisher__nothing=1),
        lambda rows: rows.filter(publisher="not a number"),
        lambda rows: rows.get(publisher__country="US"),
        lambda rows: rows.get(authors__name="Nobody"),
        the_other_end,
        lambda rows: rows.prefetch_related(Prefetch("tags", Publisher.objects.all())).order_by(
            "pk"
        ),
        lambda rows: rows.earliest("publisher__nothing"),
    ]
