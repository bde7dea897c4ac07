"""What comes out of a store equals what went in, for every field type."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.integration.contract.test_contract import STORES, place_of
from tests.integration.contract.under_test import StoreUnderTest
from tests.real import config_of, pool_of
from tests.stores.models import Everything, bind
from tests.stores.values import differences, everything, extremes


@contextlib.asynccontextmanager
async def documents_of(store: StoreUnderTest, url: str) -> AsyncIterator[Any]:
    place = place_of("everything")
    config = config_of(store.backend, store.url(url, place), options=dict(store.options))
    async with pool_of(config) as pool:
        make = store.everything or store.manager
        documents = bind(make(pool.alias, place), Everything)
        await documents.ensure()
        yield documents


async def wrong_ones(documents: Any, sent: list[Everything], store: StoreUnderTest) -> list[str]:
    found = []
    got = await documents.ain_bulk([each.pk for each in sent])
    for each in sent:
        if each.pk not in got:
            found.append(f"{each.pk} is missing")
        else:
            found += differences(each, got[each.pk], rounds=store.rounds)
    return found


@pytest.mark.parametrize("store", STORES, ids=lambda it: it.name)
# Nothing is made smaller: that takes hundreds of round trips.
@settings(
    max_examples=4,
    phases=[Phase.generate],
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(sent=st.lists(everything(), min_size=10, max_size=10, unique_by=lambda it: it.pk))
async def test_every_field_type_comes_back_as_it_was(
    store: StoreUnderTest, server_urls: dict[str, str], sent: list[Everything]
) -> None:
    async with documents_of(store, server_urls[store.service]) as documents:
        result = await documents.abulk_create(sent)
        assert result, result.failed[:3]
        assert await wrong_ones(documents, sent, store) == []


@pytest.mark.parametrize("store", STORES, ids=lambda it: it.name)
async def test_extreme_values_are_kept_exactly_or_refused(
    store: StoreUnderTest, server_urls: dict[str, str]
) -> None:
    sent = extremes()
    async with documents_of(store, server_urls[store.service]) as documents:
        result = await documents.abulk_create((each for _, _, each in sent), concurrency=1)
        refused = {each.index: each.error for each in result.failed}
        assert result.succeeded == len(sent) - len(refused)
        unexpected = [
            f"{name}={value!r:.60}: {refused[index]!r:.300}"
            for index, (name, value, _) in enumerate(sent)
            if index in refused and name not in store.refuses
        ]
        assert unexpected == []
        kept = [each for index, (_, _, each) in enumerate(sent) if index not in refused]
        assert await wrong_ones(documents, kept, store) == []
        assert {name for index, (name, _, _) in enumerate(sent) if index in refused} == (
            store.refuses
        )
