"""Walk the running interpreter's own standard library and describe what it finds.

Importing six hundred modules leaves marks on a process: exit hooks, patched displays, warnings.
So `walk` is meant to run in an interpreter of its own. Run as a script, this file writes one JSON
object a line to standard output; it imports nothing but the standard library for that reason.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import inspect
import io
import json
import os
import pkgutil
import re
import sys
import types
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(os.__file__).resolve().parent

# Importing these opens a browser, prints, starts a GUI or needs a test suite's own fixtures.
SKIPPED_MODULES: Final = frozenset(
    {"antigravity", "this", "idlelib", "turtledemo", "test", "tests", "__main__", "__hello__"}
)
# Public to `sys.stdlib_module_names`, but only the engine room of the module people import.
ENGINE_ROOMS: Final = {"posix": "os", "nt": "os"}

DUNDERS_WORTH_READING: Final = frozenset(
    {"__init__", "__new__", "__call__", "__enter__", "__exit__", "__aenter__", "__aexit__"}
)
LONGEST_DEFAULT: Final = 48
LONGEST_SIGNATURE: Final = 600
LONGEST_SUMMARY: Final = 240


@dataclass(kw_only=True, slots=True)
class Entry:
    """One documented thing of the standard library; a path is relative to the library's root."""

    qualified_name: str
    name: str
    module: str
    kind: str
    parent: str = ""
    signature: str = ""
    summary: str = ""
    docstring: str = ""
    source_file: str = ""
    source_line: int | None = None
    aliases: list[str] = field(default_factory=list)


def module_names() -> list[str]:
    """Every public module of the standard library that is safe to import, in order."""
    names: list[str] = []
    for top in sorted(sys.stdlib_module_names):
        if _is_public(top):
            names.append(top)
            names.extend(_submodules(top))
    return names


def walk() -> Iterator[tuple[str, list[Entry]]]:
    """Yield each module's name with its entries; a thing is described once, where it is at home.

    Home is `__module__`. What a private module defines (`_io.BytesIO`) lives in the first public
    module that offers it (`io.BytesIO`). The other public names of a thing become its aliases.
    """
    modules = _import_all(module_names())
    aliases: dict[str, list[str]] = {}
    members = {name: _Contents.of(module) for name, module in modules.items()}
    homes = _homes(members)
    for name, contents in members.items():
        for attribute, value in contents.offered.items():
            home = homes.get(id(value))
            if home and home != (name, attribute) and contents.means_to_offer(attribute, home[0]):
                aliases.setdefault(".".join(home), []).append(f"{name}.{attribute}")
    for name, module in modules.items():
        with _silence():
            entries = [*_describe_all(name, module, members[name], homes)]
        for entry in entries:
            entry.aliases = sorted(aliases.get(entry.qualified_name, []))
            if entry.parent == "builtins" and entry.name not in modules:
                entry.aliases.insert(0, entry.name)  # as everybody writes it
        yield name, entries


def split_words(text: str) -> list[str]:
    """The words of an identifier: `json.JSONDecodeError` gives json, JSON, Decode, Error."""
    return re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+", text)


# --- modules -------------------------------------------------------------------------------------


def _is_public(name: str) -> bool:
    parts = name.split(".")
    return (
        not any(part.startswith("_") or part in SKIPPED_MODULES for part in parts)
        and name not in ENGINE_ROOMS
    )


def _submodules(top: str) -> Iterator[str]:
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(top)
        for location in (spec.submodule_search_locations or []) if spec else []:
            yield from _walk_folder(location, f"{top}.")


def _walk_folder(folder: str, prefix: str) -> Iterator[str]:
    # pkgutil.walk_packages would import every package it meets, the skipped ones too.
    for found in sorted(pkgutil.iter_modules([folder], prefix), key=lambda info: info.name):
        if not _is_public(found.name):
            continue
        yield found.name
        if found.ispkg:
            yield from _walk_folder(
                str(Path(folder, found.name.rpartition(".")[2])), f"{found.name}."
            )


def _import_all(names: list[str]) -> dict[str, types.ModuleType]:
    modules: dict[str, types.ModuleType] = {}
    with _silence():
        for name in names:
            # A module for another platform, or without its C library, raises whatever it likes.
            with contextlib.suppress(Exception, SystemExit):
                modules[name] = importlib.import_module(name)
    if "os.path" in sys.modules:  # an alias, so no folder lists it
        modules["os.path"] = sys.modules["os.path"]
    return {
        name: module for name, module in modules.items() if name in (module.__name__, "os.path")
    }


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


# --- who lives where -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Contents:
    """The public classes and functions a module has, and the names it announces."""

    module: str
    offered: dict[str, Any]
    announced: frozenset[str]

    @classmethod
    def of(cls, module: types.ModuleType) -> _Contents:
        offered = {
            name: value
            for name, value in sorted(vars(module).items())
            if not name.startswith("_") and (inspect.isclass(value) or inspect.isroutine(value))
        }
        return cls(module.__name__, offered, frozenset(getattr(module, "__all__", ())))

    def means_to_offer(self, attribute: str, home: str) -> bool:
        """Tell a name for users (`asyncio.Queue`) from a mere import (`shlex.deque`)."""
        return attribute in self.announced or f"{home}.".startswith(f"{self.module}.")


def _homes(members: dict[str, _Contents]) -> dict[int, tuple[str, str]]:
    """Map each thing to the one module and name under which it is described."""
    claims: dict[int, list[tuple[str, str, Any]]] = {}
    for module, contents in members.items():
        for attribute, value in contents.offered.items():
            claims.setdefault(id(value), []).append((module, attribute, value))
    homes: dict[int, tuple[str, str]] = {}
    for identity, claimed in claims.items():
        home = _home(claimed, members)
        if home is not None:
            homes[identity] = home
    return homes


def _home(
    claimed: list[tuple[str, str, Any]], members: dict[str, _Contents]
) -> tuple[str, str] | None:
    value = claimed[0][2]
    module = getattr(value, "__module__", None) or ""
    module = ENGINE_ROOMS.get(module, module)
    name = getattr(value, "__name__", "")
    if module in members:
        if members[module].offered.get(name) is value:
            return module, name
        here = [(m, a) for m, a, _ in claimed if m == module]
        return here[0] if here else None
    if module and not _is_standard(module):
        return None
    public = module.lstrip("_")
    return min(
        ((m, a) for m, a, _ in claimed),
        key=lambda place: (
            place[0] != public,
            not members[place[0]].means_to_offer(place[1], public),
            place[0] == "os.path",
            place[0].count("."),
            place,
        ),
    )


def _is_standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


# --- descriptions --------------------------------------------------------------------------------


def _describe_module(name: str, module: types.ModuleType, lines: _SourceLines) -> Entry:
    parent, _, last = name.rpartition(".")
    docstring = _docstring(module)
    return Entry(
        qualified_name=name,
        name=last,
        module=name,
        kind="module",
        parent=parent,
        summary=_summary(docstring),
        docstring=docstring,
        source_file=lines.file,
        source_line=1 if lines.file else None,
    )


def _describe_all(
    name: str, module: types.ModuleType, contents: _Contents, homes: dict[int, tuple[str, str]]
) -> Iterator[Entry]:
    lines = _SourceLines(module)
    yield _describe_module(name, module, lines)
    for attribute, value in contents.offered.items():
        if homes.get(id(value)) == (name, attribute):
            yield from _describe(name, name, attribute, value, lines)


def _describe(
    module: str, parent: str, name: str, value: Any, lines: _SourceLines
) -> Iterator[Entry]:
    """Describe one thing, and for a class what its own body defines."""
    kind = _kind(value, in_class=parent != module)
    if kind is None:
        return
    docstring = _docstring(value)
    signature = _signature(value, name) if kind != "property" else ""
    if not signature and kind != "property":
        signature = _signature_in(docstring, name)
    inner = _unwrap(value)
    file, line = lines.of(inner, f"{parent}.{name}".removeprefix(f"{module}."))
    qualified_name = f"{parent}.{name}"
    yield Entry(
        qualified_name=qualified_name,
        name=name,
        module=module,
        kind=kind,
        parent=parent,
        signature=signature,
        summary=_summary(docstring, skip=name if signature else ""),
        docstring=docstring,
        source_file=file,
        source_line=line,
    )
    if inspect.isclass(value):
        for attribute, member in vars(value).items():
            if _is_worth_describing(value, attribute, member):
                yield from _describe(module, qualified_name, attribute, member, lines)


def _is_worth_describing(owner: type, name: str, member: Any) -> bool:
    if name.startswith("_"):
        # A slot wrapper's "Initialize self" says nothing; a written one does.
        return name in DUNDERS_WORTH_READING and bool(
            inspect.isfunction(_unwrap(member)) and getattr(member, "__doc__", None)
        )
    if inspect.isclass(member):
        return bool(member.__qualname__ == f"{owner.__qualname__}.{name}")
    return True


def _kind(value: Any, *, in_class: bool) -> str | None:
    if inspect.isclass(value):
        return "exception" if issubclass(value, BaseException) else "class"
    if isinstance(value, staticmethod | classmethod) or inspect.isroutine(value):
        return "method" if in_class else "function"
    if in_class and (inspect.isdatadescriptor(value) or hasattr(value, "attrname")):
        return "property"  # property, cached_property, and the descriptors of C types
    return None


def _unwrap(value: Any) -> Any:
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, property):
        value = value.fget
    if hasattr(value, "attrname") and hasattr(value, "func"):
        value = value.func
    with contextlib.suppress(ValueError):
        value = inspect.unwrap(value)
    return value


def _docstring(value: Any) -> str:
    text = getattr(value, "__doc__", None)
    if isinstance(value, type) and not isinstance(vars(value).get("__doc__"), str):
        return ""
    # PostgreSQL's text holds every character but this one.
    return inspect.cleandoc(text).replace("\0", "").rstrip() if isinstance(text, str) else ""


def _summary(docstring: str, skip: str = "") -> str:
    """The first paragraph on one line, less the signature of `skip` that C functions begin with."""
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", docstring)]
    for number, paragraph in enumerate(paragraphs):
        if skip and paragraph.startswith(f"{skip}("):
            _, mark, rest = _after_signature(paragraph)
            if mark:
                paragraph = rest  # noqa: PLW2901
            elif number + 1 < len(paragraphs):
                continue
        if paragraph:
            # Some modules begin with "functools.py - ".
            plain = re.sub(r"^\w+\.py\s*[-:]+\s*", "", paragraph)
            plain = re.sub(r"(?::\w+:)?(`{1,2})([^`]+)\1", r"\2", plain or paragraph)
            return _shorten(plain, LONGEST_SUMMARY)
    return ""


def _after_signature(text: str) -> tuple[str, str, str]:
    """Part a signature from what follows it, after dashes or a colon."""
    found = re.search(r" -- |(?<=\)): ?", text)
    return (text[: found.start()], found[0], text[found.end() :]) if found else (text, "", "")


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


class _Elided:
    """A default value too long, or too much of this very process, to be shown."""

    def __repr__(self) -> str:
        return "..."


def _signature(value: Any, name: str) -> str:
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    try:
        signature = inspect.signature(value)
        parameters = [
            parameter.replace(default=_presentable(parameter.default))
            for parameter in signature.parameters.values()
        ]
        text = str(signature.replace(parameters=parameters))
    except Exception:  # a C function may have any, no, or a broken signature
        return ""
    return _shorten(f"{name}{re.sub(r' at 0x[0-9a-fA-F]+', '', text)}", LONGEST_SIGNATURE)


def _presentable(default: Any) -> Any:
    if default is inspect.Parameter.empty:
        return default
    try:
        text = repr(default)
    except Exception:
        return _Elided()
    # An address or a path of this machine is no part of the library's documentation.
    ours = (str(ROOT), sys.prefix, sys.executable)
    if len(text) > LONGEST_DEFAULT or " at 0x" in text or any(part in text for part in ours):
        return _Elided()
    return default


def _signature_in(docstring: str, name: str) -> str:
    """The form older C functions use: the docstring's first lines are their signatures."""
    lines = []
    for line in docstring.splitlines():
        if not re.match(rf"(?:\w+\.)*{re.escape(name)}\(", line):
            break
        lines.append(_after_signature(line)[0].rstrip())
    return _shorten("\n".join(lines), LONGEST_SIGNATURE)


class _SourceLines:
    """Where things of one module begin, relative to the library's root."""

    def __init__(self, module: types.ModuleType) -> None:
        path = getattr(module, "__file__", None) or ""
        self._path = Path(path) if path.endswith(".py") else None
        self.file = _relative(path) if self._path else ""
        self._classes: dict[str, int] | None = None

    def of(self, value: Any, qualname: str) -> tuple[str, int | None]:
        """Return the file and line of `value`; ("", None) for what is written in C."""
        code = getattr(value, "__code__", None)
        if isinstance(code, types.CodeType):
            frozen = code.co_filename.startswith("<frozen ")
            file = self.file if frozen else _relative(code.co_filename)
            return (file, code.co_firstlineno) if file else ("", None)
        if not inspect.isclass(value):
            return "", None
        if self._classes is None:
            self._classes = dict(self._find_classes())
        line = self._classes.get(qualname)
        return (self.file, line) if line else ("", None)

    def _find_classes(self) -> Iterator[tuple[str, int]]:
        # inspect.getsourcelines parses the whole file for every class of it.
        if self._path is None:
            return
        with _silence():
            tree = ast.parse(self._path.read_bytes())
        todo: list[tuple[ast.AST, str]] = [(tree, "")]
        while todo:
            node, prefix = todo.pop()
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.ClassDef):
                    yield f"{prefix}{child.name}", child.lineno
                    todo.append((child, f"{prefix}{child.name}."))
                elif isinstance(child, ast.If | ast.Try | ast.With):
                    todo.append((child, prefix))


def _relative(path: str) -> str:
    try:
        return Path(path).resolve().relative_to(ROOT).as_posix()
    except (ValueError, OSError):
        return ""


def main() -> None:
    """Write `{"modules": n}`, then one `{"module": name, "entries": [...]}` a line."""
    # A C library may print past sys.stdout, so the records get the real one to themselves.
    records = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    names = module_names()
    with records:
        records.write(json.dumps({"modules": len(names)}) + "\n")
        records.flush()
        for name, entries in walk():
            record = {"module": name, "entries": [asdict(entry) for entry in entries]}
            records.write(json.dumps(record) + "\n")
            records.flush()


if __name__ == "__main__":
    main()
