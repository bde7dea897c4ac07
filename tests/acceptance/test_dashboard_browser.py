"""The pools' page in a real browser, of two workers: Daphne and Uvicorn, one fleet."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.browser import chromium
from tests.dashboard import PASSWORD, Site, served

pytestmark = pytest.mark.timeout(180)
expect.set_options(timeout=30_000)

OVERVIEW = "/admin/poolapp/"
ALIAS = "/admin/poolapp/pool/default/"


@pytest.fixture(scope="module")
def site(
    postgres_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("dashboard")
    with served(postgres_url, redis_url, folder, DASHBOARD_LEAK_AFTER="0.5") as site:
        for each in site.workers.values():
            each.get("work/1")
        yield site


@pytest.fixture(autouse=True)
def _calm(site: Site) -> Iterator[None]:
    yield
    site.calm()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture(scope="module")
def cookies(browser: Browser, site: Site) -> dict[str, list[dict[str, str]]]:
    """Logged in once: hashing passwords is slow on purpose."""
    found = {}
    for user in ("admin", "viewer"):
        context = browser.new_context(base_url=site.daphne.url)
        page = context.new_page()
        page.goto(f"/admin/login/?next={OVERVIEW}")
        page.get_by_label("Username").fill(user)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Connection pools")).to_be_visible()
        found[user] = context.cookies()
        context.close()
    return found


@pytest.fixture
def context(
    request: pytest.FixtureRequest, browser: Browser, site: Site
) -> Iterator[BrowserContext]:
    options = getattr(request, "param", {})
    context = browser.new_context(base_url=site.daphne.url, **options)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, cookies, complaints: list[str]) -> Page:
    """Of the user admin; notes every error of its console: scripts, the content policy."""
    context.add_cookies(cookies["admin"])
    page = context.new_page()

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and "favicon" not in message.location["url"]:
            complaints.append(f"{message.location['url']}: {message.text}")

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page


def row(page: Page, server: str):
    """Of the alias default in the worker that this server runs."""
    table = page.get_by_role("region", name="Workers and event loops of default")
    return table.get_by_role("row").filter(has_text=server)


# -- looking ---------------------------------------------------------------------------------------


def test_numbers_of_both_workers_move_by_themselves(
    page: Page, site: Site, complaints: list[str]
) -> None:
    page.goto(OVERVIEW)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    expect(page.get_by_text("2 workers", exact=True)).to_be_visible()
    site.daphne.get("hold/3")
    site.uvicorn.get("hold/1")
    expect(row(page, "daphne")).to_contain_text("3 / 4")
    expect(row(page, "uvicorn")).to_contain_text("1 / 4")
    expect(page.get_by_text("4 of 8 connections are in use")).to_be_visible()
    site.daphne.get("hold/1")
    site.daphne.get("wait/2")
    expect(page.get_by_text("All 4 connections are in use and 2 acquires wait")).to_be_visible()
    expect(page.get_by_role("heading", level=2).first).to_have_text("default")
    expect(page.locator("#pools-said")).to_contain_text("default is degraded.")
    expect(row(page, "daphne").locator(".pool-spark-demand")).to_have_attribute(
        "d", re.compile("M")
    )
    before = row(page, "uvicorn").locator("td").last.inner_text()
    site.uvicorn.get("work/25")
    expect(row(page, "uvicorn").locator("td").last).to_have_text(str(int(before) + 25))
    assert complaints == []


def test_a_leak_appears_with_its_view_and_line_until_it_is_returned(page: Page, site: Site) -> None:
    page.goto(OVERVIEW)
    site.daphne.get("hold/1")
    site.uvicorn.get("hold/1")
    for server in ("daphne", "uvicorn"):
        leak = page.locator(".pool-leaks li").filter(has_text=f"in {server} ")
        expect(leak).to_contain_text("view hold (GET /hold/1)")
        expect(leak).to_contain_text(re.compile(r"dashboard_site/urls\.py:\d+ in hold"))
    site.calm()
    expect(page.get_by_text("Held for too long")).to_have_count(0)


def test_what_is_folded_out_stays_so_and_focus_too(page: Page, site: Site) -> None:
    site.daphne.get("hold/1")
    page.goto(ALIAS)
    summary = page.locator(".pool-leases summary").first
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".pool-leases details").first).to_have_attribute("open", "")
    site.daphne.get("hold/2")
    expect(page.locator(".pool-leases tbody tr")).to_have_count(3)
    expect(page.locator(".pool-leases details[open]")).to_have_count(1)
    expect(summary).to_be_focused()


def test_without_the_socket_it_polls(page: Page, site: Site) -> None:
    page.route_web_socket(re.compile("poolapp/status"), lambda socket: socket.close())
    page.goto(OVERVIEW)
    expect(page.get_by_text("Polling", exact=True)).to_be_visible()
    site.daphne.get("hold/2")
    expect(row(page, "daphne")).to_contain_text("2 / 4")


def test_it_says_since_when_it_is_stale_and_recovers(page: Page, site: Site) -> None:
    page.goto(OVERVIEW)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    page.clock.install()
    page.route_web_socket(re.compile("poolapp/status"), lambda socket: socket.close())
    page.route(re.compile(r"status\.json"), lambda route: route.abort())
    page.reload()
    page.clock.run_for(15_000)
    expect(page.get_by_text(re.compile("^Stale since "))).to_be_visible()
    page.unroute(re.compile(r"status\.json"))
    page.clock.run_for(5_000)
    expect(page.get_by_text("Polling", exact=True)).to_be_visible()
    expect(page.locator("#pools-live")).not_to_have_class(re.compile("stale"))


def test_it_looks_as_often_as_it_is_told_and_remembers(page: Page) -> None:
    page.goto(OVERVIEW)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    asked: list[str] = []
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.on("request", lambda request: asked.append(request.url))
    with page.expect_websocket() as opened:
        page.get_by_label("Refresh").select_option("5")
    assert "every=5" in opened.value.url
    page.get_by_label("Refresh").select_option("0")
    expect(page.get_by_text("Live", exact=True)).to_have_count(0)
    page.reload()
    expect(page.get_by_label("Refresh")).to_have_value("0")
    assert [each for each in asked if "status.json" in each] == []


def test_a_hidden_tab_asks_nothing(page: Page) -> None:
    page.goto(OVERVIEW)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    hide = """hidden => {
        Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    with page.expect_websocket() as opened:
        page.get_by_label("Refresh").select_option("5")
    opened.value.wait_for_event("framereceived")
    with opened.value.expect_event("close"):
        page.evaluate(hide, True)
    with page.expect_websocket():
        page.evaluate(hide, False)


def test_who_logs_out_elsewhere_is_told(page: Page, context: BrowserContext, site: Site) -> None:
    page.route_web_socket(re.compile("poolapp/status"), lambda socket: socket.close())
    page.goto(OVERVIEW)
    expect(page.get_by_text("Polling", exact=True)).to_be_visible()
    context.clear_cookies()
    link = page.get_by_role("link", name="Log in again")
    expect(link).to_be_visible()
    assert link.get_attribute("href") == "/admin/login/?next=%2Fadmin%2Fpoolapp%2F"


@pytest.mark.parametrize("context", [{"java_script_enabled": False}], indirect=True)
def test_without_javascript_everything_is_there(page: Page, site: Site) -> None:
    site.daphne.get("hold/2")
    page.goto(OVERVIEW)
    expect(row(page, "daphne")).to_contain_text("2 / 4")
    expect(page.get_by_label("Refresh")).to_be_hidden()
    page.get_by_role("link", name="Leases, events and settings of default").click()
    expect(page.get_by_role("region", name="Leases of default")).to_contain_text("view hold")
    page.get_by_role("link", name="Drain…").click()
    page.get_by_role("button", name="Drain default").click()
    expect(page.get_by_text("Drained: 2 of 2 workers did it.")).to_be_visible()


# -- ordering --------------------------------------------------------------------------------------


def test_orders_reach_all_workers_or_the_chosen_one_and_are_logged(page: Page, site: Site) -> None:
    page.goto(ALIAS)
    page.get_by_role("link", name="Pause…").click()
    expect(page.get_by_text("New acquires wait until the pool is resumed")).to_be_visible()
    page.get_by_role("button", name="Pause default").click()
    expect(page.get_by_text("Paused: 2 of 2 workers did it.")).to_be_visible()
    for server in ("daphne", "uvicorn"):
        expect(page.get_by_text(re.compile(rf"^{server} .+: Paused"))).to_be_visible()
    page.get_by_role("link", name="Back to default").click()
    expect(row(page, "daphne")).to_contain_text("paused")
    expect(row(page, "uvicorn")).to_contain_text("paused")

    page.goto(f"{ALIAS}resume/")
    chosen = page.get_by_label("Workers").locator("option", has_text="uvicorn").inner_text()
    page.get_by_label("Workers").select_option(label=chosen)
    page.get_by_role("button", name="Resume default").click()
    expect(page.get_by_text("Resumed: 1 of 1 worker did it.")).to_be_visible()
    page.goto(ALIAS)
    expect(row(page, "uvicorn")).to_contain_text("open")
    expect(row(page, "daphne")).to_contain_text("paused")
    page.goto(f"{ALIAS}resume/")
    page.get_by_role("button", name="Resume default").click()

    page.goto(f"{ALIAS}resize/")
    page.get_by_label("MAX_SIZE").fill("6")
    page.get_by_role("button", name="Resize default").click()
    expect(page.get_by_text("Resized to 0-6: 2 of 2 workers did it.")).to_be_visible()
    page.goto(ALIAS)
    for server in ("daphne", "uvicorn"):
        expect(row(page, server)).to_contain_text("/ 6")
    for told in ("Paused: 2 of 2", "Resumed: 1 of 1", "Resized to 0-6"):
        expect(page.locator(".pool-entries")).to_contain_text(told)
    expect(page.locator(".pool-entries")).to_contain_text("admin")

    page.goto(f"{ALIAS}resize/")
    page.get_by_label("MAX_SIZE").fill("4")
    page.get_by_role("button", name="Resize default").click()
    page.goto("/admin/")
    expect(page.get_by_role("link", name="default").first).to_have_attribute("href", ALIAS)


def test_who_may_only_look_sees_no_order(context: BrowserContext, cookies) -> None:
    context.add_cookies(cookies["viewer"])
    page = context.new_page()
    page.goto(ALIAS)
    expect(page.get_by_role("heading", name="Held now")).to_be_visible()
    expect(page.get_by_role("heading", name="Actions", exact=True)).to_have_count(0)
    response = page.goto(f"{ALIAS}drain/")
    assert response is not None
    assert response.status == 403


# -- for everybody ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "context", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True, ids=str
)
def test_no_barrier_is_found(page: Page, site: Site, complaints: list[str]) -> None:
    site.daphne.get("hold/4")
    site.daphne.get("wait/2")
    for path in (OVERVIEW, ALIAS, f"{ALIAS}resize/"):
        page.goto(path)
        expect(page.get_by_text("All 4 connections are in use").first).to_be_visible()
        if path != f"{ALIAS}resize/":
            expect(page.locator(".pool-leaking, .pool-leaks").first).to_be_visible()
        found = Axe().run(page, context={"include": [["#content"]]})
        serious = [
            (each["id"], [node["html"] for node in each["nodes"]])
            for each in found.response["violations"]
            if each["impact"] in ("serious", "critical")
        ]
        assert serious == []
    assert complaints == []


@pytest.mark.parametrize(
    "context", [{"viewport": {"width": 360, "height": 740}}], indirect=True, ids=["narrow"]
)
def test_it_fits_a_telephone(page: Page, site: Site) -> None:
    site.daphne.get("hold/4")
    site.daphne.get("wait/1")
    for path in (OVERVIEW, ALIAS, f"{ALIAS}reset/"):
        page.goto(path)
        expect(page.get_by_text("All 4 connections are in use").first).to_be_visible()
        assert (
            page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            <= 0
        ), path
