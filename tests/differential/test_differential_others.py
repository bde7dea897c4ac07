"""The packages that `POOLAPP_DIFFERENTIAL` names: see `others`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from django.apps import apps

from tests.differential import others
from tests.differential.case import Case
from tests.differential.generating import columns_of, queries
from tests.differential.harness import Differential

PACKAGES = others.packages()
CASES = [case for package in PACKAGES for case in others.cases_of(package)]

if PACKAGES:

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_a_case_gives_the_same(of_others: Differential, case: Case) -> None:
        of_others.check(case)

    @pytest.mark.parametrize("package", PACKAGES)
    def test_generated_filters_give_the_same(of_others: Differential, package: str) -> None:
        (config,) = (each for each in apps.get_app_configs() if each.name == package)
        for model in config.get_models():
            _check_filters(of_others, model)


def _check_filters(both: Differential, model: Any) -> None:
    @hypothesis.settings(max_examples=100, deadline=None)
    @hypothesis.given(queries(list(columns_of(model))))
    def check(query: Callable[[Any], Any]) -> None:
        both.check_query(model, query)

    check()
