"""The walker finds the whole library, each thing once, and leaves no trace."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from project import stdlib
from project.collecting import collect
from project.stdlib import Entry

WALKER = Path(stdlib.__file__)


@pytest.fixture(scope="module")
def walk() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", "-X", "dev", str(WALKER)],
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.fixture(scope="module")
def entries(walk: subprocess.CompletedProcess[str]) -> dict[str, Entry]:
    records = [json.loads(line) for line in walk.stdout.splitlines()]
    listed = [Entry(**fields) for record in records for fields in record.get("entries", [])]
    return {entry.qualified_name: entry for entry in listed}


def test_it_finds_more_than_ten_thousand_entries_of_every_kind(entries: dict[str, Entry]) -> None:
    kinds = Counter(entry.kind for entry in entries.values())

    assert len(entries) > 10_000
    assert kinds.keys() == {"module", "class", "exception", "function", "method", "property"}
    assert min(kinds.values()) > 100


def test_its_output_is_records_and_nothing_else(walk: subprocess.CompletedProcess[str]) -> None:
    records = [json.loads(line) for line in walk.stdout.splitlines()]

    assert records[0].keys() == {"modules"}
    assert all(record.keys() == {"module", "entries"} for record in records[1:])
    assert walk.stderr == ""


def test_each_qualified_name_comes_once(walk: subprocess.CompletedProcess[str]) -> None:
    records = [json.loads(line) for line in walk.stdout.splitlines()]
    names = Counter(
        fields["qualified_name"] for record in records for fields in record.get("entries", [])
    )

    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("module", ["antigravity", "this", "idlelib.idle", "test.support"])
def test_modules_with_side_effects_are_left_out(entries: dict[str, Entry], module: str) -> None:
    assert module not in entries


def test_nothing_private_is_described(entries: dict[str, Entry]) -> None:
    private = [
        name
        for name in entries
        if any(part.startswith("_") and not part.endswith("__") for part in name.split("."))
    ]

    assert private == []


@pytest.mark.parametrize(
    ("name", "kind", "module"),
    [
        ("json", "module", "json"),
        ("json.loads", "function", "json"),
        ("json.decoder.JSONDecodeError", "exception", "json.decoder"),
        ("asyncio.queues.Queue", "class", "asyncio.queues"),
        ("pathlib.Path.read_text", "method", "pathlib"),
        ("builtins.str.split", "method", "builtins"),
        ("datetime.date.year", "property", "datetime"),
        # written in C, under private or platform names
        ("io.BytesIO", "class", "io"),
        ("os.open", "function", "os"),
        ("collections.deque", "class", "collections"),
    ],
)
def test_a_thing_is_described_where_it_is_at_home(
    entries: dict[str, Entry], name: str, kind: str, module: str
) -> None:
    assert (entries[name].kind, entries[name].module) == (kind, module)


@pytest.mark.parametrize(
    ("alias", "home"),
    [
        ("asyncio.Queue", "asyncio.queues.Queue"),
        ("asyncio.gather", "asyncio.tasks.gather"),
        ("json.JSONDecodeError", "json.decoder.JSONDecodeError"),
        ("os.path.join", "posixpath.join"),
        ("len", "builtins.len"),
    ],
)
def test_another_public_name_is_an_alias(entries: dict[str, Entry], alias: str, home: str) -> None:
    assert alias not in entries
    assert alias in entries[home].aliases


def test_a_mere_import_is_no_alias(entries: dict[str, Entry]) -> None:
    assert not any(alias.startswith("shlex.") for alias in entries["collections.deque"].aliases)


def test_signatures_come_from_inspect_or_from_the_docstring(entries: dict[str, Entry]) -> None:
    assert entries["json.dumps"].signature.startswith("dumps(obj, *, skipkeys=False")
    assert entries["math.sqrt"].signature == "sqrt(x, /)"
    assert entries["builtins.range"].signature.splitlines()[0].startswith("range(stop)")


def test_signatures_show_nothing_of_this_machine(entries: dict[str, Entry]) -> None:
    ours = (str(stdlib.ROOT), sys.prefix, sys.executable, " at 0x")

    assert [
        entry.qualified_name
        for entry in entries.values()
        if any(part in entry.signature for part in ours)
    ] == []


def test_source_locations_are_relative_to_the_library_and_true(entries: dict[str, Entry]) -> None:
    located = [entry for entry in entries.values() if entry.kind == "class" and entry.source_line]

    assert len(located) > 1_000
    for entry in located[:: len(located) // 50]:
        assert entry.source_line is not None
        lines = (stdlib.ROOT / entry.source_file).read_text(encoding="utf-8").splitlines()
        assert lines[entry.source_line - 1].lstrip().startswith(f"class {entry.name}")


def test_a_summary_is_one_line_without_the_signature(entries: dict[str, Entry]) -> None:
    assert entries["builtins.len"].summary == "Return the number of items in a container."
    assert entries["builtins.range"].summary.startswith("Return an object that produces")
    assert all("\n" not in entry.summary for entry in entries.values())


def test_every_parent_is_an_entry_too(entries: dict[str, Entry]) -> None:
    orphans = [
        entry.qualified_name
        for entry in entries.values()
        if entry.parent and entry.parent not in entries
    ]

    assert orphans == []


async def test_collecting_reports_progress_and_changes_nothing_here() -> None:
    modules_before = set(sys.modules)
    steps: list[tuple[str, int, int | None]] = []

    found = await collect(lambda *step: steps.append(step))

    assert len(found) > 10_000
    assert steps[-1][0] == "Collecting"
    assert steps[-1][1] == steps[-1][2]
    assert {"turtle", "distutils", "lib2to3"} & (set(sys.modules) - modules_before) == set()


async def test_cancelling_a_collection_ends_its_interpreter() -> None:
    started = asyncio.Event()
    collecting = asyncio.create_task(collect(lambda *_: started.set()))
    await started.wait()

    collecting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await collecting
    assert children_that_walk() == []


def children_that_walk() -> list[int]:
    import psutil

    pids = []
    for child in psutil.Process().children():
        try:
            if str(WALKER) in child.cmdline():
                pids.append(child.pid)
        except psutil.NoSuchProcess:  # or the zombie of another test's
            continue
    return pids


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("json.JSONDecodeError", ["json", "JSON", "Decode", "Error"]),
        ("get_terminal_size", ["get", "terminal", "size"]),
        ("asyncio.LifoQueue", ["asyncio", "Lifo", "Queue"]),
        ("base64.b64encode", ["base", "64", "b", "64", "encode"]),
        ("", []),
    ],
)
def test_identifiers_are_split_into_words(name: str, words: list[str]) -> None:
    assert stdlib.split_words(name) == words
