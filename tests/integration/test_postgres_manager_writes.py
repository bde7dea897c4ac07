"""What ``Article.rows``, its instances and their related managers write, natively."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import DataError, IntegrityError
from django.db.models import F, ProtectedError, Value
from django.db.models.functions import Concat
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save

from poolapp import pools
from poolapp.managers.postgres import PostgresManager
from tests.rows.fixtures import rows_emptied, rows_tables  # noqa: F401
from tests.rows.models import Article, Author, Comment, Made, Note, Place, Restaurant, Seat, Tag


@pytest.fixture(autouse=True)
def no_thread(rows_emptied: None) -> Any:  # noqa: F811
    """No test here has Django take a thread."""
    before = threading.active_count()
    yield
    assert threading.active_count() == before


# -- by the manager --------------------------------------------------------------------------------


async def test_create_gives_what_the_database_made(pg_admin: Any) -> None:
    made = await Article.rows.acreate(title="one")
    assert made.pk == 1
    assert made.created is not None
    assert await pg_admin.fetchval("SELECT title FROM rows_article") == "one"
    level = await Made.rows.acreate(name="new")
    assert (level.level, level.shouted) == (7, "NEW")


async def test_get_or_create_and_update_or_create(pg_admin: Any) -> None:
    ann, created = await Author.rows.aget_or_create(name="Ann")
    assert created
    assert await Author.rows.aget_or_create(name="Ann") == (ann, False)
    article, created = await Article.rows.aupdate_or_create(title="one", defaults={"size": 5})
    assert created
    again, created = await Article.rows.aupdate_or_create(title="one", defaults={"size": 6})
    assert (again, created, again.size) == (article, False, 6)
    made, created = await Article.rows.aupdate_or_create(
        title="two", defaults={"size": 1}, create_defaults={"size": 2}
    )
    assert (created, made.size) == (True, 2)


async def test_update_and_delete_with_all_that_depends(pg_admin: Any) -> None:
    made = [await Article.rows.acreate(title=title, size=1) for title in ("one", "two")]
    await Comment.rows.acreate(article=made[0], text="yes")
    assert await Article.rows.aupdate(size=F("size") + 1, body=Concat("title", Value("!"))) == 2
    assert (await Article.rows.aget(title="one")).body == "one!"
    deleted = await Article.rows.filter(title="one").adelete()
    assert deleted == (2, {"rows.Comment": 1, "rows.Article": 1})
    assert await Comment.rows.acount() == 0


async def test_bulk_update(pg_admin: Any) -> None:
    made = [await Article.rows.acreate(title=title) for title in ("one", "two")]
    made[0].size, made[1].size = 10, 20
    assert await Article.rows.abulk_update(made, ["size"], batch_size=1) == 2
    assert [each.size async for each in Article.rows.order_by("pk")] == [10, 20]


async def test_errors_are_those_of_django(pg_admin: Any) -> None:
    await Author.rows.acreate(name="Ann")
    with pytest.raises(IntegrityError, match="rows_author_name_key"):
        await Author.rows.acreate(name="Ann")
    with pytest.raises(DataError, match="too long"):
        await Author.rows.acreate(name="n" * 51)
    with pytest.raises(TypeError, match="unexpected keyword arguments: 'nam'"):
        await Author.rows.acreate(nam="Bob")
    with pytest.raises(FieldError, match="Cannot resolve keyword"):
        await Author.rows.aget_or_create(nam="Bob")
    assert await Author.rows.acount() == 1


async def test_multi_table_inheritance_and_composite_keys(pg_admin: Any) -> None:
    made = await Restaurant.rows.acreate(name="Noon", stars=2)
    assert await Place.rows.acount() == 1
    await Restaurant.rows.filter(name="Noon").aupdate(name="Dusk", stars=3)
    assert (await Restaurant.rows.aget(pk=made.pk)).name == "Dusk"
    await Seat.rows.acreate(row=1, number=2)
    seat = await Seat.rows.aget(pk=(1, 2))
    seat.taken = True
    await Seat.rows.asave(seat)
    assert (await Seat.rows.aget(row=1)).taken


# -- instances -------------------------------------------------------------------------------------


async def test_the_manager_saves_deletes_and_refreshes_instances(pg_admin: Any) -> None:
    ann = Author(name="Ann")
    await Author.rows.asave(ann)
    assert ann.pk == 1
    await pg_admin.execute("UPDATE rows_author SET name = 'Bob'")
    await Author.rows.arefresh(ann)
    assert ann.name == "Bob"
    ann.name = "Cat"
    await Author.rows.asave(ann, update_fields=[])
    await Author.rows.arefresh(ann, ["name"])
    assert ann.name == "Bob"
    with pytest.raises(IntegrityError):
        await Author.rows.asave(Author(pk=1, name="Bob"), force_insert=True)
    assert await Author.rows.adelete(ann) == (1, {"rows.Author": 1})
    assert ann.pk is None


async def test_an_instance_of_another_model_is_refused(pg_admin: Any) -> None:
    with pytest.raises(TypeError, match=r"rows.Author.rows is for instances of Author, not Tag"):
        await Author.rows.asave(Tag())
    assert await Tag.rows.acount() == 0


async def test_a_native_model_does_so_itself(pg_admin: Any) -> None:
    article = Article(title="one")
    await article.asave()
    before = article.changed
    article.title = "two"
    await article.asave(update_fields=["title", "changed"])
    assert article.changed > before
    await pg_admin.execute("UPDATE rows_article SET size = 5")
    await article.arefresh_from_db(fields=["size"])
    assert (article.size, article.title) == (5, "two")
    assert await article.adelete() == (1, {"rows.Article": 1})
    assert await pg_admin.fetchval("SELECT count(*) FROM rows_article") == 0
    assert Article.asave.alters_data
    assert Article.adelete.alters_data


async def test_signals_are_sent_and_their_receivers_use_the_orm(pg_admin: Any) -> None:
    heard = []

    def before(sender: Any, instance: Any, **_: Any) -> None:
        heard.append(("before", Author.objects.filter(name=instance.name).exists()))

    def after(sender: Any, instance: Any, created: bool = False, **_: Any) -> None:
        heard.append(("after", created, Author.rows.filter(pk=instance.pk).count()))

    pre_save.connect(before, sender=Author)
    post_save.connect(after, sender=Author)
    post_delete.connect(after, sender=Author)
    try:
        ann = await Author.rows.acreate(name="Ann")
        await Author.rows.asave(ann)
        await Author.rows.abulk_create([Author(name="Bob")])  # sends none, as Django's
        await Author.rows.filter(name="Ann").adelete()
    finally:
        pre_save.disconnect(before, sender=Author)
        post_save.disconnect(after, sender=Author)
        post_delete.disconnect(after, sender=Author)
    assert heard == [
        ("before", False), ("after", True, 1),
        ("before", True), ("after", False, 1),
        ("after", False, 0),
    ]  # fmt: skip


async def test_a_receivers_error_is_the_callers_and_undoes_a_transaction(pg_admin: Any) -> None:
    def refuse(**_: Any) -> None:
        raise ProtectedError("not this one", set())

    post_save.connect(refuse, sender=Restaurant)
    try:
        with pytest.raises(ProtectedError):
            async with pools["default"].atomic():
                await Restaurant.rows.acreate(name="Noon")
    finally:
        post_save.disconnect(refuse, sender=Restaurant)
    assert await Place.rows.acount() == 0


# -- related managers ------------------------------------------------------------------------------


async def test_the_related_manager_of_a_foreign_key(pg_admin: Any) -> None:
    article = await Article.rows.acreate(title="one")
    assert isinstance(article.comments, PostgresManager)
    comment = await article.comments.acreate(text="yes")
    assert comment.article is article
    again, created = await article.comments.aget_or_create(text="yes")
    assert (again, created) == (comment, False)
    await article.comments.aupdate_or_create(text="yes", defaults={"approved": True})
    assert [each.approved async for each in article.comments.all()] == [True]
    other = await Article.rows.acreate(title="two")
    await other.comments.aadd(comment)
    assert await article.comments.acount() == 0
    assert await other.comments.filter(approved=True).aexists()
    await article.comments.aset([comment])
    assert await article.comments.acount() == 1


async def test_the_related_managers_of_many_to_many_send_their_signals(pg_admin: Any) -> None:
    article = await Article.rows.acreate(title="one")
    news, old = [await Tag.rows.acreate(name=name) for name in ("news", "old")]
    heard = []

    def changed(action: str, **_: Any) -> None:
        heard.append(action)

    m2m_changed.connect(changed, sender=Article.tags.through)
    try:
        await article.tags.aadd(news, old)
        await article.tags.aremove(old)
        made = await article.tags.acreate(name="new")
        await article.tags.aset([made])
        assert [each.name async for each in article.tags.all()] == ["new"]
        await article.tags.aclear()
        await article.tags.aget_or_create(name="last")
        await article.tags.aupdate_or_create(name="last", defaults={"name": "end"})
    finally:
        m2m_changed.disconnect(changed, sender=Article.tags.through)
    assert [each.name async for each in article.tags.all()] == ["end"]
    assert heard[:4] == ["pre_add", "post_add", "pre_remove", "post_remove"]
    assert "post_clear" in heard


async def test_the_related_manager_of_a_generic_relation(pg_admin: Any) -> None:
    article = await Article.rows.acreate(title="one")
    note = await article.notes.acreate(text="see")
    assert [each.text async for each in article.notes.all()] == ["see"]
    assert (await Note.rows.prefetch_related("about").aget(pk=note.pk)).about == article
    await article.notes.aremove(note)
    await article.notes.aset([await Note.rows.acreate(text="b", about=article)])
    await article.notes.aclear()
    assert await Note.rows.acount() == 0


async def test_a_related_manager_can_be_made_of_another_manager(pg_admin: Any) -> None:
    ann = await Author.rows.acreate(name="Ann")
    articles = ann.articles(manager="rows")
    await articles.acreate(title="one")
    assert [each.title async for each in articles.all()] == ["one"]
    assert await articles.filter(title="one").acount() == 1
