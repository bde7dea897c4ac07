"""`check --deploy` says when nobody tells the pools of the server's end."""

import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application
from django.core.checks import CheckMessage, run_checks

from poolapp.asgi import PoolLifespan

Application = Callable[..., Any]


class Middleware:
    def __init__(self, inner: Application) -> None:
        self.inner = inner

    async def __call__(self, *protocol: Any) -> None:
        await self.inner(*protocol)


def decorated(inner: Application) -> Application:
    @functools.wraps(inner, updated=())
    async def outer(*protocol: Any) -> None:
        await inner(*protocol)

    return outer


@pytest.fixture
def warnings(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[CheckMessage]]:
    def run(application: Any, *, deploy: bool = True) -> list[CheckMessage]:
        module = ModuleType("shop_asgi")
        module.__dict__["application"] = application
        monkeypatch.setitem(sys.modules, "shop_asgi", module)
        settings.ASGI_APPLICATION = "shop_asgi.application"
        found = run_checks(tags=["poolapp"], include_deployment_checks=deploy)
        return [each for each in found if each.id == "poolapp.W001"]

    return run


WRAPPED = {
    "django": lambda: PoolLifespan(get_asgi_application()),
    "router": lambda: PoolLifespan(ProtocolTypeRouter({"http": get_asgi_application()})),
    "route": lambda: ProtocolTypeRouter(
        {"lifespan": PoolLifespan(), "http": get_asgi_application()}
    ),
    "middleware": lambda: Middleware(Middleware(PoolLifespan(get_asgi_application()))),
    "decorator": lambda: decorated(PoolLifespan(get_asgi_application())),
    "both": lambda: decorated(Middleware(PoolLifespan(get_asgi_application()))),
}

UNWRAPPED = {
    "django": get_asgi_application,
    "router": lambda: ProtocolTypeRouter({"http": get_asgi_application()}),
    # Lifespan messages never come there.
    "http only": lambda: ProtocolTypeRouter({"http": PoolLifespan(get_asgi_application())}),
    "middleware": lambda: Middleware(get_asgi_application()),
}


@pytest.mark.parametrize("make", WRAPPED.values(), ids=WRAPPED)
def test_nothing_is_said_of_an_application_that_closes_the_pools(
    warnings: Callable[..., list[CheckMessage]], make: Callable[[], Application]
) -> None:
    assert warnings(make()) == []


@pytest.mark.parametrize("make", UNWRAPPED.values(), ids=UNWRAPPED)
def test_an_application_that_leaves_them_open_is_told_with_the_remedy(
    warnings: Callable[..., list[CheckMessage]], make: Callable[[], Application]
) -> None:
    (warning,) = warnings(make())
    assert "'shop_asgi.application' does not close the pools" in warning.msg
    assert "PoolLifespan(get_asgi_application())" in str(warning.hint)


def test_it_is_asked_only_before_a_deployment(
    warnings: Callable[..., list[CheckMessage]],
) -> None:
    """The check imports the project's module, which an ordinary command shall not have to bear."""
    assert warnings(get_asgi_application(), deploy=False) == []


def test_an_application_that_can_not_be_imported_is_told(
    warnings: Callable[..., list[CheckMessage]], settings: Any
) -> None:
    settings.ASGI_APPLICATION = "nowhere.asgi.application"
    (warning,) = [
        each
        for each in run_checks(tags=["poolapp"], include_deployment_checks=True)
        if each.id == "poolapp.W001"
    ]
    assert "'nowhere.asgi.application' can't be imported (ModuleNotFoundError" in warning.msg
    assert "import nowhere.asgi" in str(warning.hint)


@pytest.mark.parametrize("without", ["POOLS", "ASGI_APPLICATION"])
def test_nothing_is_said_where_there_is_nothing_to_close_or_nobody_to_ask(
    warnings: Callable[..., list[CheckMessage]], settings: Any, without: str
) -> None:
    warnings(get_asgi_application())
    if without == "POOLS":
        settings.POOLS = {}
    else:
        settings.ASGI_APPLICATION = None
    found = run_checks(tags=["poolapp"], include_deployment_checks=True)
    assert [each for each in found if each.id == "poolapp.W001"] == []
