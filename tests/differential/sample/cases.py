from collections.abc import Callable
from typing import Any

from django.db.models import F

from tests.differential.case import Cases
from tests.differential.sample.models import Animal

cases = Cases()


@cases.reading(Animal)
def of_their_own() -> list[Callable[[Any], Any]]:
    return [
        lambda rows: rows.select_related("mother").order_by("pk"),
        lambda rows: rows.filter(weight__lt=F("mother__weight") / 2).count(),
    ]


@cases.writing(Animal)
def that_write() -> list[Callable[[Any], Any]]:
    return [lambda rows: rows.update(weight=F("weight") + 1)]


CASES = cases.all
