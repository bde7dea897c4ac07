"""Tests as a user of pytest-asyncio writes them: each on a loop of its own."""

import json

import django
import pytest
from served.work import ask

django.setup()


@pytest.mark.parametrize("number", range(20))
async def test_ask(number: int) -> None:
    print("\nanswer", json.dumps(await ask()))
