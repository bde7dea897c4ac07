"""Filters that nobody thought of give the same: 10,000 of them in CI, 300 elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import hypothesis
import pytest

from tests.differential import models
from tests.differential.generating import Column, columns_of, queries
from tests.differential.harness import Differential

COUNT = 10_000 if os.environ.get("CI") else 300

# In parts, each of which stays far below the time that a test may take.
MODELS = (models.Everything, models.Book, models.Author, models.Particular, models.Document) * 2


@cache
def columns(model: Any) -> list[Column]:
    return list(columns_of(model))


@pytest.mark.parametrize("number", range(len(MODELS)), ids=lambda n: f"{MODELS[n].__name__}-{n}")
def test_generated_filters_give_the_same(differential: Differential, number: int) -> None:
    model = MODELS[number]

    @hypothesis.settings(max_examples=COUNT // len(MODELS), deadline=None)
    @hypothesis.given(queries(columns(model)))
    def check(query: Callable[[Any], Any]) -> None:
        differential.check_query(model, query)

    check()
