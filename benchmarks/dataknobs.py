"""dataknobs-data as a peer. It pins other versions of the drivers, so it lives in an environment of
its own, and works in a process of its own, which is told over a pipe how much to do."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import sysconfig
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import SMOKE, Lab, Work

REQUIREMENT = "dataknobs-data[elasticsearch,s3]==0.4.13"
CACHE = Path(__file__).with_name(".peers")
WORKER = Path(__file__).with_name("dataknobs_worker.py")

INSTALL_WITHIN = 600.0
"""Seconds."""


class NotInstalled(Exception):
    """Why there is no such peer on this machine."""


async def environment(lab: Lab) -> Path:
    """The Python that has it; made by the first run that is no smoke run. Raises NotInstalled."""
    version = REQUIREMENT.rpartition("==")[2]
    folder = CACHE / f"dataknobs-data-{version}-{sysconfig.get_python_version()}"
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return python
    if lab.effort is SMOKE:
        raise NotInstalled("its environment is not there yet, and a smoke run makes none")
    await asyncio.to_thread(_install, folder, python)
    return python


def _install(folder: Path, python: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(exist_ok=True)
    (folder.parent / ".gitignore").write_text("*\n")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        for command in ([sys.executable, "-m", "venv", folder], [*install, REQUIREMENT]):
            subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=INSTALL_WITHIN
            )
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", None) or error).strip().splitlines()
        raise NotInstalled(f"pip can't install {REQUIREMENT}: {said[-1]}") from error
    (folder / "complete").touch()


@asynccontextmanager
async def peer(lab: Lab, store: str, settings: Mapping[str, Any]) -> AsyncIterator[Work]:
    """Its work on one of its stores (``s3``, ``elasticsearch``), in a process that is there for as
    long as the context. Raises NotInstalled."""
    python = await environment(lab)
    # -P: beside the worker are modules such as http, which are not meant.
    process = await asyncio.create_subprocess_exec(
        python, "-P", "-W", "ignore", WORKER, stdin=PIPE, stdout=PIPE
    )
    try:
        await _ask(process, {"store": store, "settings": dict(settings)})

        async def work(count: int) -> int:
            return int((await _ask(process, {"count": count}))["done"])

        yield work
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def _ask(process: Process, order: Mapping[str, Any]) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(order).encode() + b"\n")
    await process.stdin.drain()
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError("dataknobs-data's process has ended; see above why")
    answer: dict[str, Any] = json.loads(line)
    return answer
