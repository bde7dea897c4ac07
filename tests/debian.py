"""Programs that come from Debian's packages and not from wheels."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


def program(name: str, package: str) -> Path:
    """Where a program is: on the path, or where Debian keeps those that are not.

    Skips the test, naming the package, where it is not installed; in CI that is a failure.
    """
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda it: int(it.parent.name))
    folders = [os.environ.get("PATH", os.defpath), "/usr/sbin", *map(str, reversed(versions))]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found:
        return Path(found)
    message = f"needs Debian's package {package}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
