"""The system check of the managers that models declare."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks

from poolapp.managers import ElasticsearchManager, MongoManager, RedisManager, S3Manager
from tests.stores.models import Article, Everything

REDIS = {"BACKEND": "poolapp.backends.redis.RedisBackend", "LOCATION": "redis://localhost/0"}
S3 = {"BACKEND": "poolapp.backends.s3.S3Backend", "LOCATION": "s3://media"}
MONGO = {"BACKEND": "poolapp.backends.mongodb.MongoBackend", "LOCATION": "mongodb://localhost/db"}
SEARCH = {
    "BACKEND": "poolapp.backends.elasticsearch.ElasticsearchBackend",
    "LOCATION": "http://localhost:9200",
}


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Any:
    settings.POOLS = {"cache": REDIS, "media": S3, "events": MONGO, "search": SEARCH}

    def put(model: Any = Article, **managers: Any) -> None:
        for name, manager in managers.items():
            manager.name = name
            monkeypatch.setattr(model, name, manager, raising=False)

    return put


def told() -> list[tuple[str, str]]:
    return [(str(each.id), each.msg) for each in _messages()]


def _messages() -> list[CheckMessage]:
    found = run_checks(tags=["poolapp"])
    assert all(each.hint for each in found)
    return found


def test_managers_with_pools_of_their_kind_pass(declare: Any) -> None:
    declare(
        hot=RedisManager("cache", indexes=["author"]),
        files=S3Manager("media"),
        documents=MongoManager("events"),
        search=ElasticsearchManager("search"),
    )
    declare(Everything, hot=RedisManager("cache"), files=S3Manager("media"))
    assert told() == []


def test_an_unknown_alias_is_told_with_those_that_there_are(declare: Any) -> None:
    declare(hot=RedisManager("cash"))
    ((code, message),) = told()
    assert code == "poolapp.E014"
    assert "RedisManager stores.Article.hot has no pool" in message
    assert "'cache'" in message


def test_an_alias_that_is_wrong_itself_is_told_once(declare: Any, settings: Any) -> None:
    settings.POOLS = {"cache": {**REDIS, "MAX_SIZE": "many"}}
    declare(hot=RedisManager("cache"))
    assert [code for code, _ in told()] == ["poolapp.E003"]


@pytest.mark.parametrize(
    ("manager", "server"),
    [
        (RedisManager("media"), "Redis or Valkey"),
        (S3Manager("cache"), "S3"),
        (MongoManager("search"), "MongoDB"),
        (ElasticsearchManager("events"), "Elasticsearch"),
    ],
)
def test_a_pool_of_another_kind_is_told(declare: Any, manager: Any, server: str) -> None:
    declare(wrong=manager)
    ((code, message),) = told()
    assert code == "poolapp.E015"
    assert f"needs a pool of {server}" in message


@pytest.mark.parametrize(
    ("manager", "words"),
    [
        (RedisManager("cache", indexes=["nope"]), "nope"),
        (RedisManager("cache", indexes=["data"]), "json"),
        (RedisManager("cache", prefix="a{b}"), "braces"),
        (RedisManager("cache", prefix=""), "braces"),
    ],
)
def test_arguments_that_do_not_fit_the_model_are_told(
    declare: Any, manager: Any, words: str
) -> None:
    declare(hot=manager)
    ((code, message),) = told()
    assert code == "poolapp.E016"
    assert words in message


def test_two_models_in_one_place_are_told(declare: Any) -> None:
    declare(hot=RedisManager("cache", prefix="shop"))
    declare(Everything, warm=RedisManager("cache", prefix="shop"))
    ((code, message),) = told()
    assert code == "poolapp.E017"
    assert "stores.Article.hot" in message
    assert "stores.Everything.warm" in message


def test_names_that_only_begin_alike_are_no_clash(declare: Any) -> None:
    declare(files=S3Manager("media", prefix="data/"), hot=RedisManager("cache", prefix="data"))
    declare(
        Everything,
        files=S3Manager("media", prefix="data2/"),
        hot=RedisManager("cache", prefix="data2"),
    )
    assert told() == []


def test_one_model_may_have_two_ways_to_its_documents(declare: Any) -> None:
    declare(hot=RedisManager("cache", ttl=5), warm=RedisManager("cache", ttl=60))
    assert told() == []
