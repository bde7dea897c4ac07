"""The live part of the demo's front page: one upstream, many browsers, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import chromium
from tests.demo_process import DemoProcess, devservices

pytestmark = pytest.mark.timeout(180)
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, demo: DemoProcess) -> Iterator[Page]:
    page = browser.new_page(base_url=demo.url)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            complaints.append(message.text) if "Content Security" in message.text else None
        ),
    )
    page.goto("/")
    yield page
    page.close()
    assert complaints == []


def ticks(page: Page, at_least: int) -> None:
    """Wait until the page has been told the load so often (a page's policy forbids a function)."""
    fewer = "|".join(str(count) for count in range(at_least))
    expect(page.locator("[data-live=ticks]")).not_to_have_text(re.compile(f"^({fewer})$"))


def test_it_shows_the_load_tick_by_tick(page: Page) -> None:
    ticks(page, 2)
    expect(page.locator("[data-live=status]")).to_have_text("Live")
    expect(page.locator("[data-live=cpu]")).to_have_text(re.compile(r"^\d+ %$"))
    points = page.locator("[data-live=line]").get_attribute("points") or ""
    assert len(points.split()) >= 2


def test_what_others_search_for_appears_with_what_they_found(page: Page, demo: DemoProcess) -> None:
    ticks(page, 1)
    text = "<i>asyncio</i> & co"
    httpx.get(f"{demo.url}/search", params={"q": text}, trust_env=False, timeout=30)
    link = page.locator("[data-live=searches] a").first
    expect(link).to_have_text(text)
    expect(page.locator("[data-live=nobody]")).to_be_hidden()
    link.click()
    expect(page.locator('input[name="q"]').first).to_have_value(text)


def test_it_says_when_it_is_stale_and_goes_on_when_the_upstream_is_back(
    page: Page, demo: DemoProcess
) -> None:
    ticks(page, 1)
    devservices(demo.folder, "down", "feed")
    try:
        expect(page.locator("[data-live=status]")).to_have_text(
            re.compile(r"^Stale since \d+:\d+:\d+")
        )
    finally:
        devservices(demo.folder, "up", "feed")
    expect(page.locator("[data-live=status]")).to_have_text("Live")


def test_without_javascript_nothing_promises_to_be_live(
    browser: Browser, demo: DemoProcess
) -> None:
    context = browser.new_context(base_url=demo.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    expect(page.locator("#live")).to_be_hidden()
    context.close()
