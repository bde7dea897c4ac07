"""Regular expressions as Django's ``regex`` has them -> as Lucene has them.

Lucene's match the whole value, have no anchors, no look-around and no references, read ``"`` as the
beginning of a quotation, and an escape they don't know as the plain letter. So an expression is
read here, and what can't be said in Lucene is refused instead of meaning something else.
"""

from __future__ import annotations

from typing import NoReturn

from django.db import NotSupportedError

ANYTHING = "(.|\n)*"
"""The newline is for servers whose dot does not match it; Lucene's does."""

_ESCAPED = frozenset('.?+*|{}[]()"\\^$')

_CLASSES = {
    "d": "0-9",
    "w": "A-Za-z0-9_",
    "s": " \t\n\r\f\v",
}
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}


def literal(text: str, *, folded: bool, by_flag: bool = True) -> str:
    """An expression for exactly this text. ``folded`` spells out the cases of letters: of all, or,
    ``by_flag``, of those that the server's ``case_insensitive`` does not know: all but ASCII's."""
    return "".join(_letter(each, folded, by_flag) for each in text)


def _letter(letter: str, folded: bool, by_flag: bool = True) -> str:
    if folded and not (by_flag and letter.isascii()):
        cases = {letter, letter.lower(), letter.upper()}
        single = sorted(each for each in cases if len(each) == 1)
        if len(single) > 1:
            return f"[{''.join(single)}]"
    return f"\\{letter}" if letter in _ESCAPED else letter


def translate(expression: str, *, folded: bool) -> str:
    """Raises NotSupportedError, naming it, for what Lucene can't do, and ValueError for what is no
    regular expression."""
    return _Reader(expression, folded).read()


class _Reader:
    def __init__(self, expression: str, folded: bool) -> None:
        self._text = expression
        self._folded = folded
        self._at = 0

    def read(self) -> str:
        """The alternatives at the top, each of them anchored or not."""
        found = [self._alternative()]
        while self._peek() == "|":
            self._at += 1
            found.append(self._alternative())
        if self._at < len(self._text):
            self._wrong("an unopened ')'")
        return "|".join(found)

    def _alternative(self) -> str:
        begins = self._peek() == "^"
        self._at += begins
        middle = self._sequence()
        ends = self._peek() == "$"
        self._at += ends
        if ends and self._peek() not in ("|", ""):
            self._refuse("'$' anywhere but at the end")
        return f"{'' if begins else ANYTHING}{middle}{'' if ends else ANYTHING}"

    def _sequence(self) -> str:
        """Up to the end of an alternative."""
        found: list[str] = []
        repeated = True
        while (letter := self._peek()) and letter not in "|)$":
            self._at += 1
            if letter in "*+?{":
                if repeated:
                    self._wrong(f"{letter!r} with nothing to repeat")
                found[-1] += self._repetition(letter)
                repeated = True
            else:
                found.append(self._atom(letter))
                repeated = False
        return "".join(found)

    def _atom(self, letter: str) -> str:
        match letter:
            case "(":
                return self._group()
            case "[":
                return self._set()
            case "\\":
                return self._escape()
            case "^":
                self._refuse("'^' anywhere but at the beginning")
            case ".":
                return "."
        return _letter(letter, self._folded)

    def _group(self) -> str:
        if self._peek() == "?":
            if not self._text.startswith("?:", self._at):
                self._refuse(f"'({self._text[self._at : self._at + 2]}...)'")
            self._at += 2
        found = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            found.append(self._sequence())
        if self._peek() == "$":
            self._refuse("'$' within a group")
        if self._peek() != ")":
            self._wrong("an unclosed '('")
        self._at += 1
        inside = "|".join(each or "()" for each in found)
        return f"({inside})"

    def _repetition(self, letter: str) -> str:
        found = letter
        if letter == "{":
            end = self._text.find("}", self._at)
            counts = self._text[self._at : end].split(",") if end > 0 else []
            if not (1 <= len(counts) <= 2 and counts[0].isdigit() and _count(counts[-1])):
                self._wrong("'{' that is no repetition (write '\\{')")
            found = self._text[self._at - 1 : end + 1]
            self._at = end + 1
        if self._peek() == "?":  # as little as possible: the same values match
            self._at += 1
        elif self._peek() == "+":
            self._refuse("possessive repetition")
        return found

    def _escape(self) -> str:
        letter = self._take("a '\\' at the end")
        if letter in _CLASSES:
            return f"[{_CLASSES[letter]}]"
        if letter.lower() in _CLASSES:
            return f"[^{_CLASSES[letter.lower()]}]"
        return _letter(self._escaped(letter), self._folded)

    def _escaped(self, letter: str) -> str:
        """The letter that an escape stands for."""
        if letter in _LETTERS:
            return _LETTERS[letter]
        if letter in "xuU":
            length = {"x": 2, "u": 4, "U": 8}[letter]
            digits = self._text[self._at : self._at + length]
            self._at += length
            try:
                return chr(int(digits.ljust(length, "?"), 16))
            except (ValueError, OverflowError):
                self._wrong(f"'\\{letter}{digits}'")
        if letter.isalnum():
            self._refuse(f"'\\{letter}'")
        return letter

    def _set(self) -> str:
        negated = self._peek() == "^"
        self._at += negated
        found: list[str] = []
        first = True
        while first or self._peek() != "]":
            letter = self._take("an unclosed '['")
            first = False
            if letter == "\\":
                letter = self._take("a '\\' at the end")
                if letter in _CLASSES:
                    found.append(_CLASSES[letter])
                    continue
                if letter.lower() in _CLASSES:
                    self._refuse(f"'\\{letter}' within '[...]'")
                found.append(self._in_set(self._escaped(letter)))
            elif letter == "-" and found and self._peek() not in ("]", ""):
                found.append("-")
            else:
                found.append(self._in_set(letter))
        self._at += 1
        return f"[{'^' * negated}{''.join(found)}]"

    def _in_set(self, letter: str) -> str:
        escaped = f"\\{letter}" if letter in '[]\\^-"&~' else letter
        if self._folded and not letter.isascii() and letter.swapcase() != letter:
            return escaped + "".join(
                each for each in {letter.lower(), letter.upper()} - {letter} if len(each) == 1
            )
        return escaped

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, otherwise: str) -> str:
        letter = self._peek()
        if not letter:
            self._wrong(otherwise)
        self._at += 1
        return letter

    def _wrong(self, what: str) -> NoReturn:
        raise ValueError(f"the regular expression {self._text!r} has {what}")

    def _refuse(self, what: str) -> NoReturn:
        raise NotSupportedError(
            f"Elasticsearch's regular expressions have no {what}, as in {self._text!r}; they have "
            "'^' and '$' at the ends, '.', '[...]', '(...|...)', '*', '+', '?', '{n,m}', '\\d', "
            "'\\w' and '\\s'"
        )


def _count(text: str) -> bool:
    return not text or text.isdigit()
