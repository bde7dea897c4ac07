"""What the demo's pages take from S3, Redis, MongoDB and over HTTP."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import httpx
import pytest

from project.stdlib import ROOT
from tests.demo_process import DemoProcess, devservices

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def browser(demo: DemoProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=demo.url, timeout=30, trust_env=False) as client:
        yield client


def readers(page: httpx.Response) -> int:
    found = re.search(r"read ([\d,]+) times?", page.text)
    return int(found[1].replace(",", "")) if found else 0


def leave(browser: httpx.Client, name: str, **fields: str) -> httpx.Response:
    """Fill in the form of an entry's page and send it."""
    form = browser.get(f"/entry/{name}/").text
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
    assert token is not None
    data = {"csrfmiddlewaretoken": token[1], **fields}
    headers = {"Referer": str(browser.base_url)}
    return browser.post(f"/entry/{name}/notes", data=data, headers=headers)


class TestSource:
    def test_an_entry_shows_its_source_with_its_line_numbers(self, browser: httpx.Client) -> None:
        page = browser.get("/entry/json.loads/")
        shown = re.findall(r'<li value="(\d+)"><code>(.*?)</code></li>', page.text)
        lines = (ROOT / "json/__init__.py").read_text().splitlines()
        assert shown[0][1].startswith("def loads(")
        for number, text in shown:
            assert html.unescape(text) == lines[int(number) - 1]

    def test_a_module_shows_its_beginning(self, browser: httpx.Client) -> None:
        page = browser.get("/entry/textwrap/")
        first = (ROOT / "textwrap.py").read_text().splitlines()[0]
        assert f'<li value="1"><code>{html.escape(first)}</code></li>' in page.text
        assert "It goes on." in page.text

    def test_the_whole_file_opens_by_its_signed_address_and_no_other(
        self, browser: httpx.Client
    ) -> None:
        page = browser.get("/entry/textwrap.dedent/")
        address = re.search(r'href="([^"]+)" rel="noopener">Open the whole file', page.text)
        assert address is not None
        url = html.unescape(address[1])
        assert httpx.get(url, trust_env=False).text == (ROOT / "textwrap.py").read_text()
        assert httpx.get(url.partition("?")[0], trust_env=False).status_code == 403

    def test_what_is_written_in_c_has_none(self, browser: httpx.Client) -> None:
        page = browser.get("/entry/builtins.len/")
        assert page.status_code == 200
        assert "source__lines" not in page.text
        assert "not available now" not in page.text


class TestReaders:
    def test_each_reading_is_counted(self, browser: httpx.Client) -> None:
        before = readers(browser.get("/entry/heapq.merge/"))
        assert readers(browser.get("/entry/heapq.merge/")) == before + 1

    def test_a_page_that_is_not_there_is_not_counted(self, browser: httpx.Client) -> None:
        assert browser.get("/entry/heapq.marge/").status_code == 404
        assert "heapq.marge" not in browser.get("/").text

    def test_the_front_page_is_kept_for_a_while(self, browser: httpx.Client) -> None:
        first, second = browser.get("/"), browser.get("/")
        assert first.headers["X-Cache"] in ("hit", "miss")
        assert second.headers["X-Cache"] == "hit"
        assert second.text == first.text


class TestNotes:
    def test_a_note_is_shown_to_all_who_come_later(
        self, browser: httpx.Client, demo: DemoProcess
    ) -> None:
        answer = leave(browser, "shutil.copy", author="Ada", text="Mind the <b>metadata</b>.")
        assert answer.status_code == 302
        assert answer.headers["Location"].endswith("/entry/shutil.copy/#notes")
        page = httpx.get(f"{demo.url}/entry/shutil.copy/", trust_env=False, timeout=30)
        assert "Mind the &lt;b&gt;metadata&lt;/b&gt;." in page.text
        assert "Ada, <time" in page.text
        assert "Mind the" not in browser.get("/entry/shutil.copy2/").text

    def test_the_newest_comes_first_and_a_name_is_not_needed(self, browser: httpx.Client) -> None:
        leave(browser, "shutil.move", text="the first")
        leave(browser, "shutil.move", text="the second")
        page = browser.get("/entry/shutil.move/").text
        assert page.index("the second") < page.index("the first")
        assert "A reader, <time" in page

    @pytest.mark.parametrize(
        ("fields", "complaint"),
        [
            ({"text": "  "}, "This field is required."),
            ({"text": "x" * 2001}, "at most 2000 characters"),
            ({"text": "kept in the form", "author": "A" * 41}, "at most 40 characters"),
        ],
    )
    def test_a_faulty_note_names_the_field_and_loses_nothing(
        self, browser: httpx.Client, fields: dict[str, str], complaint: str
    ) -> None:
        answer = leave(browser, "shutil.which", **fields)
        assert answer.status_code == 400
        assert complaint in answer.text
        assert fields["text"].strip() in answer.text
        assert "Nobody has written one yet." in answer.text

    def test_a_note_without_the_forms_token_is_refused(self, browser: httpx.Client) -> None:
        answer = browser.post("/entry/shutil.which/notes", data={"text": "forged"})
        assert answer.status_code == 403

    def test_an_entry_that_is_not_there_takes_no_note(self, browser: httpx.Client) -> None:
        browser.get("/entry/shutil.which/")
        token = browser.cookies["csrftoken"]
        answer = browser.post(
            "/entry/shutil.witch/notes",
            data={"text": "lost", "csrfmiddlewaretoken": token},
            headers={"Referer": str(browser.base_url)},
        )
        assert answer.status_code == 404


class TestOutages:
    """Without any of these stores an entry is still there; a part of its page says what is not."""

    def test_without_redis(self, browser: httpx.Client, demo: DemoProcess) -> None:
        devservices(demo.folder, "down", "redis")
        try:
            page, front = browser.get("/entry/glob.glob/"), browser.get("/")
        finally:
            devservices(demo.folder, "restart", "redis")
        assert page.status_code == front.status_code == 200
        assert readers(page) == 0
        assert "def glob(" in page.text, "the source comes without the cache, too"
        assert "X-Cache" not in front.headers

    def test_without_mongodb_a_note_stays_in_its_form(
        self, browser: httpx.Client, demo: DemoProcess
    ) -> None:
        devservices(demo.folder, "down", "mongodb")
        try:
            page = browser.get("/entry/glob.iglob/")
            answer = leave(browser, "glob.iglob", text="do not lose me")
        finally:
            devservices(demo.folder, "restart", "mongodb")
        assert page.status_code == 200
        assert "Notes are not available now." in page.text
        assert answer.status_code == 503
        assert "MongoDB is unavailable" in answer.text
        assert "do not lose me</textarea>" in answer.text

    def test_without_s3_there_is_no_source_and_nobody_is_told_it_does_not_exist(
        self, browser: httpx.Client, demo: DemoProcess
    ) -> None:
        devservices(demo.folder, "down", "s3")
        try:
            page = browser.get("/entry/glob.escape/")
        finally:
            devservices(demo.folder, "restart", "s3")
        assert page.status_code == 200
        assert "The source is not available now." in page.text

    def test_without_the_feed_searching_works(
        self, browser: httpx.Client, demo: DemoProcess
    ) -> None:
        devservices(demo.folder, "down", "feed")
        try:
            page = browser.get("/search", params={"q": "queue"})
        finally:
            devservices(demo.folder, "restart", "feed")
        assert page.status_code == 200
