"""The demo's pages on real servers, as a browser without JavaScript sees them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from tests.demo_process import DemoProcess, devservices

HOSTILE = [
    '"><script>alert(1)</script>',
    '{"match_all": {}}',
    "*:* OR name:(a~ /.*/)",
    "' OR 1=1; DROP TABLE project_entry; --",
    "\\u0000\x00\ue000mark\ue001",
    "{{ settings.SECRET_KEY }}{% debug %}",
    "../../etc/passwd",
    "💥" * 50,
]

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def folder(demo: DemoProcess) -> Path:
    return demo.folder


@pytest.fixture
def browser(demo: DemoProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=demo.url, timeout=30, trust_env=False) as client:
        yield client


def titles(page: httpx.Response) -> list[str]:
    found = re.findall(r'<a class="hit__title"[^>]*>(.*?)</a>', page.text)
    return [html.unescape(re.sub("<[^>]+>", "", title)) for title in found]


# --- the front page ------------------------------------------------------------------------------


def test_the_front_page_counts_what_was_imported(browser: httpx.Client) -> None:
    page = browser.get("/")

    total = re.search(r"([\d,]+) modules, classes", page.text)
    assert page.status_code == 200
    assert total is not None
    assert int(total[1].replace(",", "")) > 10_000
    assert page.text.count('class="kind-card ') == 6
    assert 'href="/entry/asyncio/"' in page.text


@pytest.mark.parametrize("path", ["/admin/poolapp/", "/pools/health/ready", "/admin/"])
def test_the_front_page_leads_to_a_page_that_exists(browser: httpx.Client, path: str) -> None:
    assert f'href="{path}"' in browser.get("/").text
    assert browser.get(path).status_code in {200, 302}


# --- searching -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("queue", "queue"),
        ("asyncio.gather", "asyncio.tasks.gather"),
        ("JSONDecodeError", "json.decoder.JSONDecodeError"),
        ("jsondecodeerror", "json.decoder.JSONDecodeError"),
        ("json.loads", "json.loads"),
        ("read text file", "pathlib.Path.read_text"),
        ("lru cache", "functools.lru_cache"),
        ("len", "builtins.len"),
        ("functools.lru_ca", "functools.lru_cache"),
    ],
)
def test_the_first_result_is_what_was_meant(
    browser: httpx.Client, question: str, first: str
) -> None:
    assert titles(browser.get("/search", params={"q": question}))[0] == first


def test_a_misspelt_name_finds_what_is_near_it(browser: httpx.Client) -> None:
    page = browser.get("/search", params={"q": "asynco.gater"})

    assert "as it is written" in page.text
    assert titles(page)[0] == "asyncio.tasks.gather"


def test_matching_words_are_marked(browser: httpx.Client) -> None:
    page = browser.get("/search", params={"q": "queue"})

    assert re.search(
        r'hit__title"[^>]*>asyncio\.<mark>queue</mark>s\.<mark>Queue</mark>', page.text
    )
    assert re.search(r'hit__summary">[^<]*<mark>', page.text)


def test_highlights_of_a_docstring_with_markup_are_escaped(browser: httpx.Client) -> None:
    # Its summary begins "JSON (JavaScript Object Notation) <https://json.org> is".
    page = browser.get("/search", params={"q": "json", "kind": "module"})

    assert "&lt;https://" in page.text
    assert "<https://" not in page.text


def test_a_kind_narrows_the_results_and_keeps_the_other_counts(browser: httpx.Client) -> None:
    everything = browser.get("/search", params={"q": "queue"})
    classes = browser.get("/search", params={"q": "queue", "kind": "class"})

    assert len(titles(classes)) > 3
    assert set(re.findall(r"badge badge--(\w+)", classes.text)) == {"class"}
    assert facets(everything, "kind").keys() == facets(classes, "kind").keys()


def facets(page: httpx.Response, name: str) -> dict[str, str]:
    block = re.search(rf'aria-labelledby="facet-{name}">.*?</nav>', page.text, re.DOTALL)
    assert block is not None
    values = re.findall(r'facet__value">(.*?)</span>', block[0])
    return dict.fromkeys(values, "")


def test_a_package_narrows_the_results_to_all_its_modules(browser: httpx.Client) -> None:
    page = browser.get("/search", params={"q": "queue", "module": "asyncio"})

    assert titles(page)
    assert all(title.startswith("asyncio.") for title in titles(page))


def test_every_result_is_on_exactly_one_page(browser: httpx.Client) -> None:
    query = {"q": "queue", "kind": "method"}
    first = browser.get("/search", params=query)
    counted = re.search(r"<strong>([\d,]+)</strong> result", first.text)
    assert counted is not None
    total = int(counted[1])

    pages = -(-total // 20)
    seen = [
        title
        for number in range(1, pages + 1)
        for title in titles(browser.get("/search", params={**query, "page": number}))
    ]

    assert pages > 1
    assert len(seen) == len(set(seen)) == total


def test_a_page_after_the_last_one_says_which_is_the_last(browser: httpx.Client) -> None:
    page = browser.get("/search", params={"q": "queue", "page": "400"})

    assert page.status_code == 200
    assert "There is no page 400" in page.text


def test_an_empty_search_invites_one(browser: httpx.Client) -> None:
    page = browser.get("/search")

    assert page.status_code == 200
    assert "What are you looking for?" in page.text


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"q": "x", "kind": "<b>klass</b>"}, "There is no kind “&lt;b&gt;klass&lt;/b&gt;”"),
        ({"q": "x", "page": "nought"}, "There is no page “nought”"),
        ({"q": "x" * 300}, "at most 200 characters"),
    ],
)
def test_a_parameter_without_sense_is_a_400_that_says_why(
    browser: httpx.Client, parameters: dict[str, str], message: str
) -> None:
    page = browser.get("/search", params=parameters)

    assert page.status_code == 400
    assert message in page.text


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("parameter", ["q", "module"])
def test_hostile_text_is_data(browser: httpx.Client, parameter: str, text: str) -> None:
    page = browser.get("/search", params={"q": "queue", parameter: text})

    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert '<a class="hit__title"' not in page.text or parameter == "q"
    assert browser.get("/search", params={"q": "queue"}).status_code == 200


def test_a_fragment_is_the_pages_inner_part(browser: httpx.Client) -> None:
    whole = browser.get("/search", params={"q": "lru cache"})
    fragment = browser.get("/search", params={"q": "lru cache"}, headers={"X-Fragment": "results"})

    assert titles(fragment) == titles(whole)
    assert "<!doctype" not in fragment.text
    assert "X-Fragment" in fragment.headers["Vary"]


# --- one entry -----------------------------------------------------------------------------------


def test_an_entry_shows_signature_docstring_members_and_source(browser: httpx.Client) -> None:
    page = browser.get("/entry/asyncio.queues.Queue/")

    assert page.status_code == 200
    assert 'class="signature"' in page.text
    assert "useful for coordinating producer and consumer" in page.text
    assert 'href="/entry/asyncio.queues.Queue.put_nowait/"' in page.text
    assert 'href="/entry/asyncio.queues.LifoQueue/"' in page.text
    assert re.search(r"/Lib/asyncio/queues\.py#L\d+", page.text)
    assert 'href="/entry/asyncio/"' in page.text


def test_a_package_lists_what_it_offers_from_its_modules(browser: httpx.Client) -> None:
    page = browser.get("/entry/asyncio/")

    assert 'href="/entry/asyncio.tasks.gather/"' in page.text


@pytest.mark.parametrize(
    ("alias", "home"),
    [("asyncio.Queue", "asyncio.queues.Queue"), ("len", "builtins.len")],
)
def test_another_name_leads_to_the_entry(browser: httpx.Client, alias: str, home: str) -> None:
    page = browser.get(f"/entry/{alias}/")

    assert page.status_code == 302
    assert page.headers["Location"] == f"/entry/{home}/"


def test_an_unknown_name_is_a_404_with_suggestions(browser: httpx.Client) -> None:
    page = browser.get("/entry/json.lods/")

    assert page.status_code == 404
    assert "Did you mean" in page.text
    assert 'href="/entry/json.loads/"' in page.text


@pytest.mark.parametrize(
    "name",
    ["%00", "a%00b", "json.%3Cscript%3E", "%27%3B--", "x" * 5_000, "%E2%9C%93", "%FF"],
)
def test_what_can_be_no_name_is_a_404(browser: httpx.Client, name: str) -> None:
    page = browser.get(f"/entry/{name}/", follow_redirects=True)

    assert page.status_code == 404
    assert "<script>" not in page.text


def test_an_unknown_address_is_a_404_page(browser: httpx.Client) -> None:
    page = browser.get("/no/such/page")

    assert page.status_code == 404
    assert "There is no such page" in page.text


# --- every page ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/search?q=queue", "/entry/json/", "/entry/nothing/", "/search?kind=x"]
)
def test_pages_hold_to_a_strict_policy(browser: httpx.Client, path: str) -> None:
    page = browser.get(path)
    policy = page.headers["Content-Security-Policy"]

    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page.text)
    assert not re.search(r'(?:src|<link[^>]*href)="(?:https?:)?//', page.text)


@pytest.mark.parametrize("name", ["site.css", "site.js", "logo.svg"])
def test_static_files_are_served_without_debug(browser: httpx.Client, name: str) -> None:
    assert browser.get(f"/static/project/{name}").status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_pages_are_for_reading(browser: httpx.Client, method: str) -> None:
    assert browser.request(method, "/search").status_code in {403, 405}


# --- outages; last, because they stop the servers ------------------------------------------------


def test_without_elasticsearch_searching_says_so_and_entries_are_still_there(
    browser: httpx.Client, folder: Path
) -> None:
    devservices(folder, "down", "elasticsearch")
    try:
        search = browser.get("/search", params={"q": "queue"})
        entry = browser.get("/entry/json.loads/")
        unknown = browser.get("/entry/json.lods/")
    finally:
        devservices(folder, "restart", "elasticsearch")

    assert search.status_code == 503
    assert "Elasticsearch is unavailable" in search.text
    assert 'value="queue"' in search.text
    assert int(search.headers["Retry-After"]) >= 1
    assert "Traceback" not in search.text
    assert entry.status_code == 200
    assert unknown.status_code == 404
    assert "unavailable now" in unknown.text


def test_without_postgresql_an_entry_is_unavailable_and_not_missing(
    browser: httpx.Client, folder: Path
) -> None:
    with redis.Redis.from_url(devservices(folder, "urls")["redis"]) as cache:
        for key in cache.scan_iter("*page:*"):
            cache.delete(key)
    devservices(folder, "down", "postgres")
    try:
        pages = [browser.get(path) for path in ("/entry/json.loads/", "/entry/json.lods/", "/")]
    finally:
        devservices(folder, "restart", "postgres")

    for page in pages:
        assert page.status_code == 503
        assert "PostgreSQL is unavailable" in page.text
        assert int(page.headers["Retry-After"]) >= 1
        assert "Traceback" not in page.text


def test_an_outage_is_told_to_a_fragment_too(browser: httpx.Client, folder: Path) -> None:
    devservices(folder, "down", "elasticsearch")
    try:
        page = browser.get("/search", params={"q": "queue"}, headers={"X-Fragment": "results"})
    finally:
        devservices(folder, "restart", "elasticsearch")

    assert page.status_code == 503
    assert "<!doctype" not in page.text
    assert "Elasticsearch is unavailable" in page.text
