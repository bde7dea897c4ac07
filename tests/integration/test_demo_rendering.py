"""What the demo's pages make of names, questions and docstrings."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project.asking import MOST_WORDS, InvalidQuery, Query, matching
from project.docstring import render_docstring, render_signature
from project.stdlib import Entry
from project.wording import MARK_END, MARK_START, marked, search_fields, words_of

HOSTILE = "<script>alert(1)</script> & \"quotes\" 'too'"
TAGS_OF_OURS = re.compile(
    r"</?(?:p|h3|ul|li|pre|code|mark|strong)>|<(?:pre|p|span) class=\"[a-z0-9 _-]+\">|</span>"
)


def test_a_mark_encloses_escaped_text() -> None:
    html = marked(f"<b>{MARK_START}Queue{MARK_END}</b>")

    assert html == "&lt;b&gt;<mark>Queue</mark>&lt;/b&gt;"


def test_hostile_text_between_markers_stays_text() -> None:
    html = marked(f"{MARK_START}{HOSTILE}{MARK_END}")

    assert "<script>" not in html
    assert html.startswith("<mark>&lt;script&gt;")


@pytest.mark.parametrize("stray", [MARK_START, MARK_END, MARK_END + MARK_START, MARK_START * 3])
def test_stray_markers_make_no_tags(stray: str) -> None:
    assert marked(f"a{stray}b") == "ab"


@given(st.text(alphabet=st.sampled_from([MARK_START, MARK_END, *"<>&\"'ab "])))
def test_marked_text_holds_balanced_marks_and_no_other_tag(text: str) -> None:
    html = marked(text)

    assert html.count("<mark>") == html.count("</mark>")
    assert not re.search(r"[<>]", re.sub(r"</?mark>", "", html))


@given(st.text(alphabet=st.sampled_from("<>&\"'`:*-=. \n\t>ab1(){}\\#"), max_size=200))
def test_a_docstring_never_brings_a_tag_of_its_own(text: str) -> None:
    assert not re.search(r"[<>]", TAGS_OF_OURS.sub("", render_docstring(text)))


@given(st.text(alphabet=st.sampled_from("<>&\"'()[]{},=* ab1\n->:"), max_size=200))
def test_a_signature_never_brings_a_tag_of_its_own(text: str) -> None:
    assert not re.search(r"[<>]", TAGS_OF_OURS.sub("", render_signature(text)))


def test_paragraphs_are_joined_and_separated() -> None:
    assert render_docstring("One line\nand its rest.\n\nAnother.") == (
        "<p>One line and its rest.</p>\n<p>Another.</p>"
    )


def test_a_doctest_is_highlighted_and_apart_from_the_text_above_it() -> None:
    html = render_docstring("Like this:\n>>> len('ab')\n2")

    assert html.startswith("<p>Like this:</p>")
    assert '<pre class="code doctest">' in html
    assert '<span class="tok-gp">&gt;&gt;&gt; </span>' in html


def test_neighbouring_indented_blocks_are_one_block_of_code() -> None:
    html = render_docstring("Text.\n\n    x = {1: 2}\n\n    y = x[1]")

    assert html.count("<pre") == 1
    assert "x = {1: 2}\n\ny = x[1]" in html


def test_an_indented_explanation_is_text() -> None:
    html = render_docstring("Arguments:\n\n  args: A string, or a sequence of program arguments.")

    assert '<p class="indented">args: A string' in html


def test_columns_keep_their_shape() -> None:
    assert "<pre" in render_docstring("match    Match at the start.\nsearch   Match anywhere.")


def test_headings_lists_and_names_in_quotes_are_recognised() -> None:
    html = render_docstring("Title\n-----\n\n- the ``first``\n- the :mod:`second`")

    assert "<h3>Title</h3>" in html
    assert "<li>the <code>first</code></li><li>the <code>second</code></li>" in html


def test_a_change_of_a_version_is_a_sentence() -> None:
    assert render_docstring(".. versionchanged:: 3.9\n   Added ``x``.") == (
        "<p><strong>Changed in version 3.9</strong> Added <code>x</code>.</p>"
    )


def test_a_short_signature_stays_on_its_line() -> None:
    assert "signature__parameters" not in render_signature("sqrt(x, /)")


def test_a_wide_signature_gives_each_parameter_a_line() -> None:
    names = [f"parameter_{number}='a, b'" for number in range(5)]
    text = re.sub("<[^>]+>", "", render_signature(f"call({', '.join(names)}) -> None"))

    assert text.count("\n") == 4
    assert text.replace("&#39;", "'").endswith("parameter_4='a, b',) -&gt; None")


@pytest.mark.parametrize("signature", ["broken(" + "a, " * 40, "x" * 100, ""])
def test_a_signature_that_makes_no_sense_is_shown_as_it_is(signature: str) -> None:
    assert re.sub("<[^>]+>", "", render_signature(signature)).strip() == signature.strip()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("asyncio.gather", ["asyncio", "gather"]),
        ("JSONDecodeError", ["json", "decode", "error"]),
        ("jsondecodeerror", ["jsondecodeerror"]),
        ("get_event_loop", ["get", "event", "loop"]),
        ("naïve Überblick", ["naïve", "überblick"]),
        ("?*:[]{}", []),
    ],
)
def test_a_question_becomes_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_a_document_is_found_by_its_name_in_any_spelling() -> None:
    words = search_fields(
        Entry(
            qualified_name="json.decoder.JSONDecodeError",
            name="JSONDecodeError",
            module="json.decoder",
            kind="exception",
            docstring="Subclass of ValueError",
            aliases=["json.JSONDecodeError"],
        )
    )["words"]

    assert {"json", "decode", "error", "jsondecodeerror", "subclass", "value"} <= set(words)


def test_a_document_belongs_to_every_package_around_it() -> None:
    described = search_fields(Entry(qualified_name="a.b.C", name="C", module="a.b", kind="class"))

    assert (described["package"], described["modules"]) == ("a", ["a", "a.b"])


def test_a_documents_texts_hold_no_markers() -> None:
    described = search_fields(
        Entry(
            qualified_name="a.f",
            name="f",
            module="a",
            kind="function",
            summary=f"x{MARK_START}y{MARK_END}",
        )
    )

    assert described["summary"] == "xy"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"kind": "klass"}, "There is no kind “klass”. The kinds are: module, class,"),
        ({"kind": "<b>"}, "There is no kind “<b>”."),
        ({"page": "0"}, "Pages have numbers from 1 to 500"),
        ({"page": "501"}, "Pages have numbers from 1 to 500"),
        ({"page": "-1"}, "Pages have numbers"),
        ({"page": "1e3"}, "Pages have numbers"),
        ({"page": "9" * 5_000}, "Pages have numbers"),
        ({"page": "٣"}, "Pages have numbers"),
        ({"q": "x" * 201}, "at most 200 characters"),
        ({"module": "x" * 201}, "at most 200 characters"),
    ],
)
def test_parameters_without_sense_are_refused_by_name(
    parameters: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidQuery, match=re.escape(message)):
        Query.parse(parameters)


def test_a_search_without_parameters_is_empty() -> None:
    assert Query.parse({"q": "  ", "page": ""}).is_empty
    assert not Query.parse({"kind": "class"}).is_empty


def test_a_question_asks_for_a_bounded_number_of_words() -> None:

    assert len(matching("a " * 100)["bool"]["filter"]) == MOST_WORDS
