"""The admin of the demo's entries: an edit is found by the search, and "Reindex" has the Celery
worker write them all, which a browser sees from beginning to end."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.browser import chromium
from tests.demo_process import PROJECT, DemoProcess, devservices, environment

pytestmark = pytest.mark.timeout(180)
expect.set_options(timeout=60_000)

ENTRIES = "/admin/project/entry/"
SUMMARY = "Of zyzzyva and quokka."
VIEWER = """
from django.contrib.auth.models import Permission, User
user = User.objects.create_user("viewer", password={password!r}, is_staff=True)
user.user_permissions.add(Permission.objects.get(codename="view_entry"))
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def cookies(browser: Browser, demo: DemoProcess) -> dict[str, list[dict[str, str]]]:
    """Of the administrator, and of one who may see the entries and no more."""
    password = uuid.uuid4().hex
    subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", VIEWER.format(password=password)],
        cwd=PROJECT, env=environment(demo.folder), check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    found = {}
    for user, its_password in (("admin", demo.password), ("viewer", password)):
        context = browser.new_context(base_url=demo.url)
        page = context.new_page()
        page.goto(f"/admin/login/?next={ENTRIES}")
        page.get_by_label("Username").fill(user)
        page.get_by_label("Password").fill(its_password)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("link", name="abc.ABC", exact=True)).to_be_visible()
        found[user] = context.cookies()
        context.close()
    return found


@pytest.fixture
def complaints() -> list[str]:
    """Errors of the console: failed loads, scripts, the content policy."""
    return []


@pytest.fixture
def context(
    browser: Browser, demo: DemoProcess, cookies: dict[str, list[dict[str, str]]]
) -> Iterator[BrowserContext]:
    """The administrator's."""
    context = browser.new_context(base_url=demo.url)
    context.add_cookies(cookies["admin"])  # type: ignore[arg-type]
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, complaints: list[str]) -> Page:
    page = context.new_page()

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and "favicon" not in message.location["url"]:
            complaints.append(f"{message.location['url']}: {message.text}")

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page


def reindex(page: Page) -> None:
    page.goto(ENTRIES)
    page.get_by_role("button", name="Reindex").click()


# --- reindexing ----------------------------------------------------------------------------------


def test_the_page_shows_an_order_from_no_worker_to_its_end_with_scripts_and_without(
    browser: Browser, page: Page, context: BrowserContext, demo: DemoProcess, complaints: list[str]
) -> None:
    plain = browser.new_context(
        base_url=demo.url,
        java_script_enabled=False,
        storage_state=context.storage_state(),
    )
    without_scripts = plain.new_page()
    worker = demo.worker()
    worker.suspend()
    try:
        reindex(page)
        expect(headline(page)).to_have_text("No Celery worker answers")
        expect(page.get_by_text("celery --app project worker", exact=True)).to_be_visible()
        assert page.get_by_role("button", name="Reindex again").is_hidden()
        without_scripts.goto(page.url)
        expect(headline(without_scripts)).to_have_text("No Celery worker answers")
        note_values(page)
    finally:
        worker.resume()

    expect(headline(page)).to_have_text(re.compile(r"^Writing 1\d,\d{3} entries$"))
    second = context.new_page()
    reindex(second)
    expect(second.get_by_text("It is being done already.")).to_be_visible()
    assert second.url == page.url

    written = re.compile(r"^All 1\d,\d{3} entries are written$")
    expect(headline(page)).to_have_text(written)
    expect(headline(without_scripts)).to_have_text(written)
    expect(page.get_by_role("progressbar")).to_have_js_property("value", 1)
    expect(page.get_by_role("status")).to_have_text(re.compile("are written"))
    expect(page.get_by_role("button", name="Reindex again")).to_be_visible()
    values = noted_values(page)
    assert values == sorted(values)
    assert any(0 < value < 1 for value in values), values
    fits_and_is_accessible(page)
    assert complaints == []
    plain.close()


def headline(page: Page):
    return page.locator("#reindex-headline")


def note_values(page: Page) -> None:
    page.evaluate(
        """() => {
          const bar = document.querySelector("progress");
          window.noted = [];
          new MutationObserver(() => window.noted.push(bar.value)).observe(bar, {attributes: true});
        }"""
    )


def noted_values(page: Page) -> list[float]:
    """What the bar has shown, if the page was never loaded again."""
    values: list[float] = page.evaluate("window.noted")
    return values


def fits_and_is_accessible(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.reload()
        found = Axe().run(page, context="#content-main")
        assert found.violations_count == 0, found.generate_report()


def test_the_list_leads_to_the_last_one(page: Page) -> None:
    page.goto(ENTRIES)
    page.get_by_role("link", name="Last reindexing").click()
    expect(page.get_by_text(re.compile(r"^Started by admin"))).to_be_visible()


def test_without_the_queue_nothing_is_started_and_the_page_says_why(
    page: Page, demo: DemoProcess
) -> None:
    page.goto(ENTRIES)
    last = page.get_by_role("link", name="Last reindexing")
    before = last.get_attribute("href")
    assert before is not None
    devservices(demo.folder, "down", "redis")
    try:
        reindex(page)
        expect(page.get_by_text("The queue is unavailable: nothing was started")).to_be_visible()
        assert last.get_attribute("href") == before
        page.goto(before)
        expect(headline(page)).to_have_text("The queue is unavailable")
    finally:
        devservices(demo.folder, "restart", "redis")
    expect(headline(page)).to_have_text(re.compile("are written$"))


def test_who_may_not_change_entries_sees_them_and_reindexes_nothing(
    browser: Browser, demo: DemoProcess, cookies: dict[str, list[dict[str, str]]], page: Page
) -> None:
    page.goto(ENTRIES)
    order = page.get_by_role("link", name="Last reindexing").get_attribute("href")
    with browser.new_context(base_url=demo.url) as context:
        context.add_cookies(cookies["viewer"])  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(ENTRIES)
        expect(page.get_by_role("link", name="abc.ABC", exact=True)).to_be_visible()
        expect(page.get_by_role("button", name="Reindex")).to_have_count(0)
        token = page.locator("[name=csrfmiddlewaretoken]").first.input_value()
        answer = context.request.post(
            f"{ENTRIES}reindex/",
            form={"csrfmiddlewaretoken": token},
            headers={"Referer": page.url},
        )
        assert answer.status == 403
        assert "CSRF" not in answer.text()
        page.goto(f"{order}")
        expect(headline(page)).to_be_visible()
        expect(page.get_by_role("button", name="Reindex again")).to_have_count(0)


def test_an_order_takes_the_admins_token_and_its_progress_a_login(
    browser: Browser, demo: DemoProcess, context: BrowserContext
) -> None:
    some = f"{ENTRIES}reindex/{uuid.uuid4()}/"
    assert context.request.post(f"{ENTRIES}reindex/").status == 403
    assert context.request.get(f"{ENTRIES}reindex/").status == 405
    assert context.request.get(some).status == 404
    assert context.request.get(f"{some}progress.json").status == 404
    with browser.new_context(base_url=demo.url) as nobody:
        for path in (some, f"{some}progress.json"):
            assert nobody.request.get(path, max_redirects=0).status == 302


# --- editing -------------------------------------------------------------------------------------


def test_an_edited_summary_is_found_by_the_search(page: Page, complaints: list[str]) -> None:
    before = edit_summary(page, SUMMARY)
    try:
        assert summary_found(page, SUMMARY)
    finally:
        edit_summary(page, before)
    assert summary_found(page, before)
    assert complaints == []


def edit_summary(page: Page, text: str) -> str:
    """Save another summary; return the one before. It is all that can be edited."""
    page.goto(f"{ENTRIES}?q=colorsys.rgb_to_yiq")
    page.get_by_role("link", name="colorsys.rgb_to_yiq", exact=True).click()
    form = page.locator("#entry_form")
    expect(form.get_by_role("textbox")).to_have_count(1)
    field = form.get_by_label("Summary")
    before = field.input_value()
    field.fill(text)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    return before


def summary_found(page: Page, text: str) -> bool:
    """Wait for it: the search sees a change within a second or so."""
    give_up_at = time.monotonic() + 30
    while time.monotonic() < give_up_at:
        page.goto("/search?q=colorsys.rgb_to_yiq")
        if text in page.locator(".hit").first.inner_text():
            return True
    return False
