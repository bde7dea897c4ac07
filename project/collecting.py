"""Walking the standard library, in an interpreter of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from project.stdlib import Entry

type_of_progress = Callable[[str, int, int | None], None]

WALKER: Final = Path(__file__).with_name("stdlib.py")
# One module's record is a line; the longest (tkinter's) is about half a megabyte.
LONGEST_LINE: Final = 16 * 1024 * 1024


class ImportFailed(Exception):
    """The import stopped; both stores hold what they held before."""


async def collect(progress: type_of_progress) -> list[Entry]:
    """Walk the library in an interpreter of its own; reports modules done, of how many."""
    # -I -S: neither this project nor site-packages can stand in for a library module.
    walker = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", str(WALKER),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE,
    )  # fmt: skip
    assert walker.stdout is not None
    assert walker.stderr is not None
    complaints = asyncio.create_task(walker.stderr.read())
    entries: list[Entry] = []
    total = None
    try:
        done = 0
        async for line in walker.stdout:
            record = json.loads(line)
            if "modules" in record:
                total = record["modules"]
                continue
            entries.extend(Entry(**fields) for fields in record["entries"])
            done += 1
            progress("Collecting", done, total)
        if await walker.wait() != 0:
            last = (await complaints).decode(errors="replace").strip().splitlines()[-1:]
            raise ImportFailed(f"Walking the library failed: {''.join(last) or 'no message'}")
        progress("Collecting", total or done, total)
    finally:
        if walker.returncode is None:
            walker.kill()
            await walker.wait()
        await complaints
    return entries
