"""Where the servers keep their files."""

import hashlib
import importlib.util
import os
import tempfile
from pathlib import Path

from poolapp.devservices.exceptions import DevServiceError

FOLDER_VARIABLE = "POOLAPP_DEVSERVICES_DIR"


def default_folder() -> Path:
    """Return `$POOLAPP_DEVSERVICES_DIR`, or `.devservices` in the project's folder."""
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(given).absolute()
    return _project_folder() / ".devservices"


def _project_folder() -> Path:
    """Find the project without importing it, so that its own settings may ask."""
    package = os.environ.get("DJANGO_SETTINGS_MODULE", "").partition(".")[0]
    spec = importlib.util.find_spec(package) if package else None
    if spec and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).absolute().parent
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "manage.py").is_file():
            return folder
    return here


def make_folder(folder: Path) -> None:
    """Create a folder for us alone; as root others may pass through it, but not list it."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if is_root():
            folder.chmod(0o711)


def is_root() -> bool:
    return os.geteuid() == 0


def is_traversable(folder: Path) -> bool:
    """Whether any user may pass through the folder and all its parents."""
    while not folder.exists():
        folder = folder.parent
    return all(step.stat().st_mode & 0o001 for step in (folder, *folder.parents))


def foreign(folder: Path, error: OSError) -> DevServiceError:
    """Return the error for a folder that another user made."""
    return DevServiceError(
        f"{folder} is not ours to use ({error.strerror}): run this as the user who made it, or set "
        f"{FOLDER_VARIABLE} to a folder of your own."
    )


def temporary_twin(folder: Path) -> Path:
    """Return the path, below the system's temporary folder, that stands for `folder`."""
    mark = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"poolapp-devservices-{os.geteuid()}-{mark}"


def claim_temporary(folder: Path) -> None:
    """Create a folder below the temporary one, or check that the one that is there is ours.

    The name can be foretold and anybody may write to the temporary folder, so a stranger's
    folder or link of that name must not become the home of a server.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = folder.lstat()
    if folder.is_symlink() or facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
        raise DevServiceError(
            f"{folder} belongs to somebody else or is open to others: remove it, or set "
            f"{FOLDER_VARIABLE} to a folder that every user may pass through."
        )
    folder.chmod(0o711)
