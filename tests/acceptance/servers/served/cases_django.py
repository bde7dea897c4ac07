"""Tests as a user of Django's test runner writes them."""

import asyncio

from django.http import HttpResponse
from django.test import SimpleTestCase

PATHS = ("/async", "/run", "/to_sync")
ROUNDS = 7


def tell(response: HttpResponse) -> None:
    assert response.status_code == 200, response
    print("\nanswer", response.content.decode())


class Asynchronous(SimpleTestCase):
    async def test_requests_at_once(self) -> None:
        asked = [self.async_client.get(path) for path in PATHS * ROUNDS]
        for response in await asyncio.gather(*asked):
            tell(response)

    async def test_requests_on_another_loop(self) -> None:
        for path in PATHS:
            tell(await self.async_client.get(path))


class Synchronous(SimpleTestCase):
    def test_requests(self) -> None:
        for path in PATHS * ROUNDS:
            tell(self.client.get(path))

    def test_requests_again(self) -> None:
        for path in PATHS:
            tell(self.client.get(path))
