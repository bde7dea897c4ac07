"""The demo and the admin's page of the pools, as a newcomer sees them in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.browser import chromium
from tests.demo_process import DemoProcess

pytestmark = pytest.mark.timeout(180)
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture(params=["light", "dark"])
def page(
    request: pytest.FixtureRequest, browser: Browser, demo: DemoProcess, complaints: list[str]
) -> Iterator[Page]:
    """A page that notes every error of its console: failed loads, scripts, the content policy."""
    context = browser.new_context(base_url=demo.url, color_scheme=request.param)
    page = context.new_page()

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(f"{message.location['url']}: {message.text}")

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()


def log_in(page: Page, demo: DemoProcess) -> None:
    page.goto("/admin/login/?next=/admin/poolapp/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(demo.password)
    page.get_by_role("button", name="Log in").click()


def overflow(page: Page) -> int:
    """Pixels by which the page is wider than the window."""
    width: int = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return width


def test_from_the_front_page_to_an_entry_by_typing(page: Page, complaints: list[str]) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("standard library")
    page.get_by_role("searchbox").first.fill("json loads")
    page.keyboard.press("Enter")
    hit = page.get_by_role("link", name="json.loads", exact=True)
    expect(hit).to_be_visible()
    expect(page.locator("mark").first).to_be_visible()
    hit.click()
    expect(page).to_have_url(re.compile(r"/entry/json\.loads/$"))
    expect(page.get_by_text("Deserialize").first).to_be_visible()
    assert complaints == []


@pytest.mark.parametrize("path", ["/", "/search?q=queue+get", "/entry/asyncio.queues.Queue/"])
def test_pages_fit_a_telephone(page: Page, complaints: list[str], path: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(path)
    assert overflow(page) <= 0
    assert complaints == []


def test_a_missing_entry_suggests_others(page: Page) -> None:
    page.goto("/entry/json.laods/")
    expect(page.get_by_role("link", name="json.loads").first).to_be_visible()


def test_the_admin_shows_each_pool_with_its_numbers(
    page: Page, demo: DemoProcess, complaints: list[str]
) -> None:
    for path in ("/search?q=queue", "/entry/asyncio.queues.Queue/"):  # both pools have been used
        page.goto(path)
    log_in(page, demo)
    for alias in ("default", "search"):
        expect(page.get_by_role("heading", name=re.compile(alias))).to_be_visible()
    # The Celery worker, once it has worked, has as many as the site.
    for most in ("(10|20)", "(50|100)"):
        in_use = page.get_by_text(re.compile(f"of {most} connections are in use"))
        expect(in_use.first).to_be_visible()
    page.get_by_role("link", name="Leases, events and settings of default").click()
    expect(page.get_by_role("heading", name="Settings in force")).to_be_visible()
    expect(page.get_by_text("MAX_SIZE").first).to_be_visible()
    page.set_viewport_size({"width": 360, "height": 740})
    assert overflow(page) <= 0
    assert [each for each in complaints if "favicon" not in each] == []
