"""Bulk writes: bounded, in step with their source, told item by item."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.db import IntegrityError

from poolapp import BackendUnavailable, CircuitOpen
from poolapp.managers import BulkResult, Rejected
from poolapp.managers.documents import bulk
from poolapp.managers.documents.store import ItemError, Operation
from tests.stores.gated import GatedManager, GatedStore
from tests.stores.models import Article, bind


@pytest.fixture
async def articles() -> Any:
    return bind(GatedManager("x"), Article)


@pytest.fixture
async def store(articles: Any) -> GatedStore:
    made = articles.store()
    assert isinstance(made, GatedStore)
    return made


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "repeat_delay", lambda number, random: 0.0)


def some(count: int) -> list[Article]:
    return [Article(slug=str(n), title="t") for n in range(count)]


def refuse(*pks: str, error: Exception | None = None) -> Any:
    def outcome(operation: Operation) -> ItemError | None:
        return ItemError(error or Rejected("no"), 400) if operation.pk in pks else None

    return outcome


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_it_reads_no_further_ahead_than_it_may_write(
    articles: Any, store: GatedStore
) -> None:
    read = []

    def source() -> Iterator[Article]:
        for each in some(100):
            read.append(each)
            yield each

    store.gate.clear()
    writing = asyncio.create_task(articles.abulk_create(source(), batch_size=5, concurrency=3))
    await turns()
    assert store.began == [5, 5, 5]
    assert len(read) == 15
    store.gate.set()
    result = await writing
    assert (result.succeeded, store.most_writing) == (100, 3)


async def test_a_failed_item_is_told_by_its_place_and_key(articles: Any, store: GatedStore) -> None:
    store.outcome = refuse("3", "8")
    result = await articles.abulk_create(some(10), batch_size=2)
    assert [(each.index, each.id, each.status) for each in result.failed] == [
        (3, "3", 400),
        (8, "8", 400),
    ]
    assert str(result.failed[0]) == "item 3 (pk='3'): no"
    assert (result.succeeded, result.processed, bool(result)) == (8, 10, False)


async def test_an_item_that_can_not_be_prepared_fails_alone(articles: Any) -> None:
    wrong = [Article(slug="a", likes="many"), Article(slug="b"), Article(slug=None), "no article"]
    result = await articles.abulk_create(wrong)
    assert result.succeeded == 1
    assert [type(each.error) for each in result.failed] == [ValueError, ValueError, TypeError]
    assert "likes" in str(result.failed[0].error)
    assert "no primary key" in str(result.failed[1].error)


async def test_any_kind_of_source_is_read(articles: Any, store: GatedStore) -> None:
    async def stream() -> AsyncIterator[Article]:
        for each in some(3):
            yield each

    assert (await articles.abulk_create(some(3))).succeeded == 3
    assert (await articles.abulk_create(iter(some(3)))).succeeded == 3
    assert (await articles.abulk_create(stream())).succeeded == 3
    other = bind(GatedManager("y"), Article)
    assert (await other.abulk_create(articles)).succeeded == 3
    assert (await other.abulk_create(articles.all())).succeeded == 3
    assert (await articles.abulk_create([])).processed == 0


async def test_a_veto_ends_it_and_lets_go_of_the_source(articles: Any, store: GatedStore) -> None:
    closed = asyncio.Event()

    async def stream() -> AsyncIterator[Article]:
        try:
            for each in some(100):
                yield each
        finally:
            closed.set()

    async def veto(errors: Any) -> bool:
        return False

    store.outcome = refuse("0")
    result = await articles.abulk_create(stream(), batch_size=1, concurrency=1, on_error=veto)
    assert result.stopped
    assert result.processed < 100
    assert closed.is_set()


async def test_on_error_may_let_it_go_on(articles: Any, store: GatedStore) -> None:
    told: list[int] = []
    store.outcome = refuse("1", "2", "5")
    result = await articles.abulk_create(
        some(8), batch_size=4, on_error=lambda errors: told.append(len(errors))
    )
    assert (told, result.stopped, result.succeeded) == ([2, 1], False, 5)


async def test_an_outage_raises_with_the_result_so_far(articles: Any, store: GatedStore) -> None:
    def outcome(operation: Operation) -> ItemError | None:
        if operation.pk == "3":
            store.failures += [BackendUnavailable("gone")]
        return None

    store.outcome = outcome
    with pytest.raises(BackendUnavailable) as caught:
        await articles.abulk_create(some(100), batch_size=2, concurrency=1)
    result = caught.value.result  # type: ignore[attr-defined]
    assert isinstance(result, BulkResult)
    assert (result.succeeded, [each.index for each in result.failed]) == (4, [4, 5])
    assert store.began == [2, 2, 2]


async def test_what_is_safe_to_repeat_is_repeated(articles: Any, store: GatedStore) -> None:
    store.failures = [BackendUnavailable("gone"), BackendUnavailable("gone")]
    result = await articles.abulk_create(some(2), update_conflicts=True)
    assert (result.succeeded, store.began) == (2, [2, 2, 2])


async def test_a_create_is_never_repeated(articles: Any, store: GatedStore) -> None:
    store.failures = [BackendUnavailable("gone")]
    with pytest.raises(BackendUnavailable):
        await articles.abulk_create(some(2))
    assert store.began == [2]


async def test_an_open_circuit_is_not_hammered(articles: Any, store: GatedStore) -> None:
    store.failures = [CircuitOpen("open")]
    with pytest.raises(CircuitOpen):
        await articles.abulk_create(some(2), update_conflicts=True)
    assert store.began == [2]


async def test_a_late_batch_may_or_may_not_have_been_written(
    articles: Any, store: GatedStore
) -> None:
    store.gate.clear()
    result = await articles.abulk_create(some(2), timeout=0.001)
    assert [type(each.error) for each in result.failed] == [TimeoutError, TimeoutError]
    assert "may or may not" in str(result.failed[0].error)


async def test_ignored_conflicts_are_no_failures(articles: Any, store: GatedStore) -> None:
    store.outcome = refuse("1", error=IntegrityError("there"))
    result = await articles.abulk_create(some(3), ignore_conflicts=True)
    assert (result.succeeded, result.ignored, result.failed, result.processed) == (2, 1, [], 3)


async def test_an_error_of_the_source_comes_out_with_the_result(articles: Any) -> None:
    def broken() -> Iterator[Article]:
        yield from some(4)
        raise LookupError("the source broke")

    with pytest.raises(LookupError) as caught:
        await articles.abulk_create(broken(), batch_size=2, concurrency=1)
    assert caught.value.result.succeeded == 4  # type: ignore[attr-defined]


async def test_cancelling_it_leaves_no_write_behind(articles: Any, store: GatedStore) -> None:
    store.gate.clear()
    writing = asyncio.create_task(articles.abulk_create(some(10), batch_size=1, concurrency=4))
    await turns()
    assert store.writing == 4
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert store.writing == 0


async def test_what_was_written_counts_as_saved(articles: Any, store: GatedStore) -> None:
    store.outcome = refuse("1")
    both = some(2)
    await articles.abulk_create(both)
    assert [each._state.adding for each in both] == [False, True]


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"concurrency": 0}])
async def test_senseless_numbers_are_refused(articles: Any, wrong: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        await articles.abulk_create([], **wrong)


async def test_bulk_update_needs_fields_that_can_be_updated(articles: Any) -> None:
    with pytest.raises(ValueError, match="Field names"):
        await articles.abulk_update(some(1), [])
    with pytest.raises(ValueError, match="primary key"):
        await articles.abulk_update(some(1), ["slug"])
    with pytest.raises(ValueError, match="together"):
        await articles.abulk_create([], ignore_conflicts=True, update_conflicts=True)
