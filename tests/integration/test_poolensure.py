"""``manage.py poolensure``, in this process, on real servers."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from poolapp import pools
from poolapp.managers import ElasticsearchManager, RedisManager
from tests.real import config_of
from tests.stores.models import Article, Author

REDIS = "poolapp.backends.redis.RedisBackend"
SEARCH = "poolapp.backends.elasticsearch.ElasticsearchBackend"


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(model: Any, **managers: Any) -> None:
        for name, manager in managers.items():
            manager.name = name
            monkeypatch.setattr(model, name, manager, raising=False)

    return put


@pytest.fixture(autouse=True)
def aliases(server_urls: dict[str, str]) -> Iterator[None]:
    pools.register("ensure-redis", config_of(REDIS, server_urls["redis"], alias="ensure-redis"))
    pools.register(
        "ensure-search", config_of(SEARCH, server_urls["elasticsearch"], alias="ensure-search")
    )
    pools.register(
        "ensure-nobody",
        config_of(REDIS, "redis://:s3cret@127.0.0.1:1/0", alias="ensure-nobody", connect_timeout=2),
    )
    yield
    for alias in ("ensure-redis", "ensure-search", "ensure-nobody"):
        pools.run(pools.remove, alias)


def poolensure(*arguments: str) -> tuple[int, list[str], str]:
    out, err = io.StringIO(), io.StringIO()
    code = 0
    try:
        call_command("poolensure", *arguments, stdout=out, stderr=err)
    except CommandError as error:
        code = error.returncode
        err.write(str(error))
    return code, out.getvalue().splitlines(), err.getvalue()


def test_it_makes_what_is_not_there_and_says_so(declare: Any) -> None:
    declare(Author, search=ElasticsearchManager("ensure-search", index="ensure-authors"))
    code, lines, err = poolensure("ensure-search")
    assert (code, err) == (0, "")
    assert all(each.startswith("ensure-search: stores.Author.search: ") for each in lines)
    assert "ensure-authors" in lines[0]
    assert poolensure("ensure-search") == (
        0, ["ensure-search: stores.Author.search: all is there."], "",
    )  # fmt: skip


def test_one_that_fails_is_told_and_the_others_are_looked_after(declare: Any) -> None:
    declare(
        Article,
        afar=RedisManager("ensure-nobody", prefix="afar"),
        near=RedisManager("ensure-redis", prefix="near"),
    )
    code, lines, err = poolensure("ensure-nobody", "ensure-redis")
    assert code == 1
    assert lines == ["ensure-redis: stores.Article.near: all is there."]
    assert "ensure-nobody: stores.Article.afar: " in err
    assert "1 manager of 2" in err
    assert "s3cret" not in err


def test_a_dry_run_asks_nobody(declare: Any) -> None:
    declare(Article, afar=RedisManager("ensure-nobody", prefix="afar"))
    code, lines, err = poolensure("ensure-nobody", "--dry-run")
    assert (code, err) == (0, "")
    assert lines == ["ensure-nobody: stores.Article.afar: would be looked after."]


def test_a_wrong_alias_is_a_wrong_use() -> None:
    code, lines, err = poolensure("nope")
    assert (code, lines) == (2, [])
    assert "there is no pool 'nope'; POOLS has " in err


def test_an_alias_of_no_manager_is_said() -> None:
    code, lines, _ = poolensure("ensure-redis")
    assert code == 0
    assert lines == ["No model declares a manager of documents of ensure-redis."]
