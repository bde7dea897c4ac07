"""Every store against every ability."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import NotSupportedError

from poolapp import PoolError
from tests.integration.contract.abilities import ABILITIES, Ability, article, library
from tests.integration.contract.under_test import StoreUnderTest, stores_under_test
from tests.real import Proxy, config_of, pool_of
from tests.stores.models import Article, bind

EVERY = stores_under_test()
STORES = [each for each in EVERY if not each.otherwise]
PAIRS = [
    pytest.param(store, ability, id=f"{ability.name}-{store.name}")
    for ability in ABILITIES
    for store in EVERY
    if ability.name not in store.otherwise
]
_numbers = itertools.count(1)
_libraries: dict[str, str] = {}


def place_of(what: str = "contract") -> str:
    """A place of a test's own, on a server that other runs may use as well."""
    return f"{what}-{os.getpid()}-{next(_numbers)}"


@contextlib.asynccontextmanager
async def documents_of(store: StoreUnderTest, url: str, place: str) -> AsyncIterator[Any]:
    """The store's manager of Article, on a pool of its own."""
    config = config_of(store.backend, store.url(url, place), options=dict(store.options))
    async with pool_of(config) as pool:
        documents = bind(store.manager(pool.alias, place), Article)
        await documents.ensure()
        yield documents


@contextlib.asynccontextmanager
async def read_only(store: StoreUnderTest, url: str) -> AsyncIterator[Any]:
    """The articles of `library()`, written once for all tests of this process."""
    place = _libraries.get(store.name)
    fresh = place is None
    if place is None:
        place = place_of("library")
    async with documents_of(store, url, place) as documents:
        if fresh:
            result = await documents.abulk_create(library())
            assert result, result.failed
            _libraries[store.name] = place
        yield documents


@pytest.mark.parametrize(("store", "ability"), PAIRS)
async def test_a_store_does_what_it_says_or_refuses(
    store: StoreUnderTest, ability: Ability, server_urls: dict[str, str]
) -> None:
    url = server_urls[store.service]
    context = read_only(store, url) if ability.reads_only else documents_of(store, url, place_of())
    async with context as documents:
        if ability.name in store.cannot:
            with pytest.raises(NotSupportedError, match=store.name):
                await ability.prove(documents)
        else:
            await ability.prove(documents)


@pytest.mark.parametrize("store", EVERY, ids=lambda it: it.name)
def test_what_a_store_cannot_is_an_ability(store: StoreUnderTest) -> None:
    assert store.cannot | store.otherwise <= {each.name for each in ABILITIES}
    assert not store.cannot & store.otherwise


@pytest.mark.parametrize("store", STORES, ids=lambda it: it.name)
async def test_an_outage_is_never_not_found(
    store: StoreUnderTest, server_urls: dict[str, str]
) -> None:
    server = urlsplit(server_urls[store.service])
    assert server.hostname
    assert server.port
    async with Proxy(server.hostname, server.port) as proxy:
        url = server._replace(
            netloc=server.netloc.rpartition("@")[0]
            + ("@" if "@" in server.netloc else "")
            + f"127.0.0.1:{proxy.port}"
        ).geturl()
        async with documents_of(store, url, place_of()) as documents:
            one = await documents.acreate(slug="a", title="T")
            assert (await documents.aget(pk="a")).title == "T"
            proxy.refuse()
            for asked in (
                lambda: documents.aget(pk="a"),
                lambda: documents.aget(pk="nope"),
                lambda: documents.filter(pk="a").aexists(),
                lambda: documents.acount(),
                lambda: documents.afirst(),
                lambda: documents.aget_or_create(pk="b", defaults={"title": "T"}),
                lambda: documents.acreate(slug="c", title="T"),
                lambda: documents.asave(one),
                lambda: documents.aremove(one),
                lambda: documents.filter(pk__in=["a"]).adelete(),
            ):
                with pytest.raises(PoolError):
                    await asked()
            with pytest.raises(PoolError) as caught:
                await documents.abulk_create([article(str(n)) for n in range(10)], batch_size=2)
            assert caught.value.result.succeeded == 0
            assert caught.value.result.failed
