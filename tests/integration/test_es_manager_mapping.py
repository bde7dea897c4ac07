"""ElasticsearchManager: the index that it needs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, models

from poolapp import BackendUnavailable
from poolapp.managers.elasticsearch import ElasticsearchManager, MissingIndex, VectorField
from tests.fronts import Front
from tests.integration.es_documents import ALONE, documents_of, found, index_name
from tests.real import elasticsearch_pool
from tests.stores.models import Article, Everything, bind
from tests.stores.models_elasticsearch import Line, Note, Picture


@pytest.fixture(scope="session")
def url(server_urls: dict[str, str]) -> str:
    return server_urls["elasticsearch"]


@pytest.fixture
async def pool(url: str) -> AsyncIterator[Any]:
    async with elasticsearch_pool(url) as pool:
        yield pool


def manager_of(pool: Any, model: type[models.Model], **options: Any) -> Any:
    return bind(
        ElasticsearchManager(pool.alias, **{"index": index_name(), "settings": ALONE, **options}),
        model,
    )


async def mapping_of(pool: Any, index: str) -> dict[str, Any]:
    async with pool.acquire() as es:
        mappings: dict[str, Any] = (await es.indices.get_mapping(index=index)).body
    return next(iter(mappings.values()))["mappings"]  # type: ignore[no-any-return]


class TestAMapping:
    async def test_each_field_is_indexed_as_what_it_is(self, pool: Any) -> None:
        documents = manager_of(pool, Note)
        await documents.ensure()
        mapping = await mapping_of(pool, documents.store().place)
        have = {name: each.get("type") for name, each in mapping["properties"].items()}
        assert have == {
            "id": "long", "text": "text", "name": "text", "number": "long", "weight": "double",
            "weight__rank": "byte", "price": "keyword", "price__order": "keyword",
            "price__number": "double", "at": "date", "day": "date", "lasted": "long",
            "data": "object", "data__terms": "keyword", "raw": "wildcard", "ip": "ip",
            "numbers": "long", "numbers__digest": "keyword", "names": "text",
            "names__digest": "keyword",
        }  # fmt: skip
        assert mapping["dynamic"] == "strict"
        text, name = mapping["properties"]["text"], mapping["properties"]["name"]
        never = 2**31 - 1
        assert text["fields"]["keyword"] == {"type": "wildcard", "ignore_above": never}
        assert name["fields"]["keyword"] == {"type": "keyword", "ignore_above": never}
        assert mapping["properties"]["data"]["enabled"] is False

    async def test_every_field_of_django_has_one(self, pool: Any) -> None:
        documents = manager_of(pool, Everything)
        assert await documents.ensure()
        assert await documents.ensure() == []

    async def test_what_is_said_of_a_field_is_added(self, pool: Any) -> None:
        documents = manager_of(
            pool,
            Article,
            mapping={"body": {"analyzer": "english", "fields": {"raw": {"type": "keyword"}}}},
            settings={"number_of_shards": 2, **ALONE},
        )
        await documents.ensure()
        body = (await mapping_of(pool, documents.store().place))["properties"]["body"]
        assert body["analyzer"] == "english"
        assert set(body["fields"]) == {"keyword", "raw"}
        async with pool.acquire() as es:
            told = (await es.indices.get_settings(index=documents.store().place)).body
        assert next(iter(told.values()))["settings"]["index"]["number_of_shards"] == "2"

    async def test_a_mapping_of_what_is_no_field_is_told(self, pool: Any) -> None:
        documents = manager_of(pool, Line, mapping={"titel": {"type": "text"}})
        with pytest.raises(ValueError, match=r"'titel' is no field of stores\.Line.*id, parity"):
            await documents.ensure()

    async def test_an_index_is_named_after_its_model(self, pool: Any) -> None:
        documents = bind(ElasticsearchManager(pool.alias), Line)
        assert documents.store().place == "stores_line"

    @pytest.mark.parametrize(
        ("options", "message"),
        [({"refresh": "soon"}, "refresh is True, False"), ({"long_text": "text"}, "long_text is")],
    )
    def test_an_option_of_another_value_is_refused(
        self, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            ElasticsearchManager("search", **options)


class TestEnsure:
    async def test_it_says_what_it_made_and_then_nothing(self, pool: Any) -> None:
        documents = manager_of(pool, Line)
        index = documents.store().place
        assert await documents.ensure() == [
            f"Elasticsearch index {index!r} was made, with 2 fields."
        ]
        assert await documents.ensure() == []

    async def test_a_new_field_is_added(self, pool: Any) -> None:
        index = index_name()
        await manager_of(pool, Line, index=index).ensure()

        class LongerLine(models.Model):
            id = models.IntegerField(primary_key=True)
            parity = models.BooleanField(default=False)
            text = models.CharField(max_length=10, default="")

            class Meta:
                app_label = "es_longer"
                managed = False

        longer = manager_of(pool, LongerLine, index=index, refresh=True)
        (told,) = await longer.ensure()
        assert told.startswith(f"Elasticsearch index {index!r} got 'text';")
        assert await longer.ensure() == []
        await longer.acreate(id=1, text="new")
        assert await found(longer, text="new") == [1]

    async def test_a_write_before_it_is_refused_with_advice(self, pool: Any) -> None:
        index = index_name()
        short = manager_of(pool, Line, index=index)
        await short.ensure()
        longer = manager_of(pool, Picture, index=index)
        result = await longer.abulk_create([Picture(id=1)])
        (failed,) = result.failed
        assert f"'manage.py poolensure {pool.alias}' adds new fields" in str(failed.error)

    async def test_what_differs_is_told_and_nothing_is_changed(self, pool: Any) -> None:
        index = index_name()
        async with pool.acquire() as es:
            properties = {
                "id": {"type": "keyword"},
                "title": {"type": "text", "analyzer": "english"},
            }
            await es.indices.create(
                index=index, mappings={"properties": properties}, settings=ALONE
            )
        documents = manager_of(
            pool, Picture, index=index, mapping={"title": {"analyzer": "standard"}}
        )
        with pytest.raises(DatabaseError) as caught:
            await documents.ensure()
        assert f"'id' of index {index!r} is of type 'keyword', not 'long'" in str(caught.value)
        assert "'title'" in str(caught.value)
        assert "has analyzer 'english', not 'standard'" in str(caught.value)

    async def test_an_alias_stands_for_its_index(self, pool: Any) -> None:
        index, alias = index_name(), f"{index_name()}-alias"
        await manager_of(pool, Line, index=index).ensure()
        async with pool.acquire() as es:
            await es.indices.put_alias(index=index, name=alias)
        documents = manager_of(pool, Line, index=alias, refresh=True)
        assert await documents.ensure() == []
        await documents.acreate(id=1)
        assert (await documents.aget(parity=False)).id == 1

    async def test_many_at_once_make_one(self, pool: Any) -> None:
        index = index_name()
        managers = [manager_of(pool, Line, index=index) for _ in range(8)]
        told = await asyncio.gather(*(each.ensure() for each in managers))
        assert sum(map(len, told)) == 1

    async def test_a_server_that_refuses_the_index_is_told_in_its_words(self, pool: Any) -> None:
        documents = manager_of(pool, Line, index="NotLowercase")
        with pytest.raises(
            DatabaseError, match=r"'NotLowercase' can't be made: Invalid index name"
        ):
            await documents.ensure()

    @pytest.mark.parametrize(
        ("version", "expected"), [("9.2.0", False), ("8.15.3", None), ("9.1.9", None)]
    )
    async def test_vectors_stay_readable_on_servers_that_would_leave_them_out(
        self, version: str, expected: bool | None
    ) -> None:
        async with Front() as front, elasticsearch_pool(front.url) as pool:
            documents = manager_of(pool, Picture, index="pictures")
            front.answers["/pictures/_mapping"] = (404, {})
            front.answers["/"] = (200, {"version": {"number": version}})
            await documents.ensure()
            settings = front.bodies["/pictures"].get("settings", {})
            assert settings.get("index.mapping.exclude_source_vectors") is expected


class TestAnIndexThatIsNotThere:
    async def test_reading_it_says_what_to_do(self, url: str) -> None:
        async with documents_of(url, Line, ensure=False) as documents:
            for asked in (
                documents.acount(), documents.aget(parity=True), documents.aget(pk=1),
                documents.filter(pk__in=[1, 2]).acount(), documents.all().afirst(),
            ):  # fmt: skip
                with pytest.raises(MissingIndex, match=r"'manage\.py poolensure real\d+'"):
                    await asked

    async def test_writing_makes_no_index_of_guesses(self, url: str) -> None:
        async with documents_of(url, Line, ensure=False) as documents:
            with pytest.raises(MissingIndex):
                await documents.acreate(id=1)
            with pytest.raises(MissingIndex):
                await documents.abulk_create([Line(id=1)])
            async with documents.store().pool.acquire() as es:
                assert not await es.indices.exists(index=documents.store().place)

    async def test_a_server_that_is_away_is_something_else(self) -> None:
        async with documents_of("http://127.0.0.1:9", Line, ensure=False) as documents:
            with pytest.raises(BackendUnavailable):
                await documents.acount()


class TestAVectorField:
    def test_it_is_pgvectors_type_in_postgresql(self) -> None:
        class Connection:
            vendor = "postgresql"

        field = VectorField(dimensions=3)
        assert field.db_type(Connection()) == "vector(3)"  # type: ignore[arg-type]
        Connection.vendor = "sqlite"
        assert field.db_type(Connection()) == "text"  # type: ignore[arg-type]

    def test_a_migration_can_write_it_down(self) -> None:
        field = VectorField(dimensions=3, similarity="l2_norm")
        _, path, args, kwargs = field.deconstruct()
        assert path == "poolapp.managers.elasticsearch.vectors.VectorField"
        assert (args, kwargs) == ([], {"dimensions": 3, "similarity": "l2_norm"})

    @pytest.mark.parametrize("value", [[1, 2], [1, 2, float("nan")], "words", 3])
    def test_what_is_no_such_vector_is_refused(self, value: Any) -> None:
        with pytest.raises(ValidationError, match="'likeness' takes 3 finite numbers"):
            Picture(id=1, title="t", likeness=value).clean_fields()

    def test_a_database_holds_it_as_text(self) -> None:
        field = Picture._meta.get_field("likeness")
        text = field.get_prep_value([1, 0.5, -2])
        assert text == "[1.0, 0.5, -2.0]"
        assert field.from_db_value(text, None, None) == [1.0, 0.5, -2.0]  # type: ignore[attr-defined]
