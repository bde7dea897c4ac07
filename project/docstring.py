"""Docstrings and signatures as HTML: readable, and escaped to the last character.

The standard library's docstrings follow no one markup, so this reads what they have in common:
paragraphs, doctests, indented blocks, underlined headings, and names in quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from textwrap import dedent
from typing import Final

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import PythonConsoleLexer, PythonLexer

WIDE_SIGNATURE: Final = 72
MANY_PARAMETERS: Final = 8

_UNDERLINE = re.compile(r"^([=\-~^])\1{2,}$")
_CODE = re.compile(r"(?::\w+:)?(?:``(.+?)``|`([^`\s][^`]*)`)", re.DOTALL)
_COLUMNS = re.compile(r"\S(?<![.!?:;]) {2,}\S")
_TERM = re.compile(r"\w[\w, ]*: ")
_CHANGE = re.compile(r"\.\. (versionadded|versionchanged|deprecated):: *(\S+) *(.*)")
_CHANGES: Final = {
    "versionadded": "New in version",
    "versionchanged": "Changed in version",
    "deprecated": "Deprecated since version",
}
_BULLET = re.compile(r"^(?:[-*•+]|\d+[.)]) +")


def render_docstring(text: str) -> SafeString:
    """Return `text` as HTML paragraphs, headings, lists and code blocks."""
    return mark_safe("\n".join(_blocks(text)))  # noqa: S308  every block escapes its text


def render_signature(signature: str) -> SafeString:
    """Return `signature` highlighted; a wide one has its parameters in a block of their own."""
    return mark_safe("\n".join(_signature_line(line) for line in signature.splitlines()))  # noqa: S308


def _blocks(text: str) -> Iterator[str]:
    paragraphs = re.split(r"\n[ \t]*\n", text.expandtabs().strip("\n"))
    code: list[str] = []  # neighbouring indented blocks are one
    for paragraph in paragraphs:
        lines = paragraph.strip("\n").splitlines()
        if not paragraph.strip():
            continue
        if _is_code(lines):
            code.append("\n".join(lines))
            continue
        if code:
            yield _code_block(code)
            code = []
        yield from _prose(lines)
    if code:
        yield _code_block(code)


def _is_code(lines: list[str]) -> bool:
    if lines[0].lstrip().startswith(">>>"):
        return True
    if _BULLET.match(lines[0].lstrip()):
        return False
    return _all_indented(lines) and not _is_sentence(lines)


def _all_indented(lines: list[str]) -> bool:
    return all(line.startswith(("  ", "\t")) for line in lines)


def _is_sentence(lines: list[str]) -> bool:
    """Tell an indented explanation from code: words, and a beginning or an end to suit them."""
    text = " ".join(line.strip() for line in lines)
    letters = sum(character.isalpha() or character in " ,." for character in text)
    return (
        len(text.split()) >= 4
        and (text.endswith((".", "!", ")")) or _TERM.match(text) is not None)
        and letters >= 0.9 * len(text)
        and not any(_COLUMNS.search(line.strip()) for line in lines)
    )


def _code_block(blocks: list[str]) -> str:
    text = dedent("\n\n".join(blocks))
    if ">>>" in text:
        return (
            f'<pre class="code doctest"><code>{_highlight(text, PythonConsoleLexer())}</code></pre>'
        )
    return f'<pre class="code"><code>{escape(text)}</code></pre>'


def _prose(lines: list[str]) -> Iterator[str]:
    if len(lines) >= 2 and _UNDERLINE.match(lines[1].strip()):
        yield f"<h3>{_inline(lines[0].strip())}</h3>"
        lines = lines[2:]
        if not lines:
            return
    if change := _CHANGE.match(lines[0]):
        text = " ".join(line.strip() for line in [change[3], *lines[1:]]).strip()
        yield f"<p><strong>{_CHANGES[change[1]]} {escape(change[2])}</strong> {_inline(text)}</p>"
        return
    if lines[0].endswith(":") and len(lines) > 1 and _all_indented(lines[1:]):
        yield from _prose(lines[:1])
        yield from (
            _prose(lines[1:]) if _is_sentence(lines[1:]) else [_code_block(["\n".join(lines[1:])])]
        )
        return
    doctest = next((n for n, line in enumerate(lines) if line.lstrip().startswith(">>>")), None)
    if doctest:
        yield from _prose(lines[:doctest])
        yield _code_block(["\n".join(lines[doctest:])])
    elif _BULLET.match(lines[0].lstrip()):
        yield from _list(lines)
    elif _is_drawn(lines):
        yield f'<pre class="code"><code>{escape(dedent(chr(10).join(lines)))}</code></pre>'
    else:
        text = " ".join(line.strip() for line in lines)
        if text.endswith("::"):
            text = text[:-1]
        indented = ' class="indented"' if lines[0].startswith(("  ", "\t")) else ""
        yield f"<p{indented}>{_inline(text)}</p>"


def _is_drawn(lines: list[str]) -> bool:
    """Tell lines whose shape carries meaning: columns, or some that are indented."""
    if _is_sentence(lines):
        return False
    shaped = any(line.startswith(("  ", "\t")) for line in lines)
    return shaped or any(_COLUMNS.search(line) for line in lines)


def _list(lines: list[str]) -> Iterator[str]:
    items: list[list[str]] = []
    for line in lines:
        if _BULLET.match(line.lstrip()):
            items.append([_BULLET.sub("", line.lstrip())])
        else:
            items[-1].append(line.strip())
    yield "<ul>" + "".join(f"<li>{_inline(' '.join(item))}</li>" for item in items) + "</ul>"


def _inline(text: str) -> str:
    pieces: list[str] = []
    end = 0
    for found in _CODE.finditer(text):
        pieces.append(escape(text[end : found.start()]))
        pieces.append(f"<code>{escape(found[1] or found[2])}</code>")
        end = found.end()
    pieces.append(escape(text[end:]))
    return "".join(pieces)


def _signature_line(signature: str) -> str:
    opening = signature.find("(") + 1
    if len(signature) <= WIDE_SIGNATURE or not opening:
        return _highlight(signature, PythonLexer())
    parameters, rest = _split_parameters(signature[opening:])
    if rest is None:
        return _highlight(signature, PythonLexer())
    # A line for each, but dozens of them fill lines.
    joint = ",\n" if len(parameters) <= MANY_PARAMETERS else ", "
    inner = _highlight(joint.join(parameter.strip() for parameter in parameters), PythonLexer())
    head = _highlight(signature[:opening], PythonLexer())
    tail = _highlight(f"){rest}", PythonLexer())
    return f'{head}<span class="signature__parameters">{inner},</span>{tail}'


def _split_parameters(text: str) -> tuple[list[str], str | None]:
    """Split at the commas of the outermost level; the rest follows the closing parenthesis."""
    parameters: list[str] = []
    depth, start, quote = 0, 0, ""
    for position, character in enumerate(text):
        if quote:
            if character == quote and text[position - 1] != "\\":
                quote = ""
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}" and depth:
            depth -= 1
        elif character == ")":
            return [*parameters, text[start:position]], text[position + 1 :]
        elif character == "," and not depth:
            parameters.append(text[start:position])
            start = position + 1
    return parameters, None


@lru_cache(maxsize=1)
def _formatter() -> HtmlFormatter[str]:
    return HtmlFormatter(nowrap=True, classprefix="tok-")


def _highlight(text: str, lexer: Lexer) -> SafeString:
    html: str = highlight(text, lexer, _formatter())
    return mark_safe(html.rstrip("\n"))  # noqa: S308  Pygments escapes what it highlights
