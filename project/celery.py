"""The demo's Celery app: `celery --app project worker`, with Valkey as its broker.

Start that with `manage.py devservices up redis`.
"""

from __future__ import annotations

import os

from celery import Celery, shared_task

from poolapp.devservices import urls

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

_valkey = urls().get("redis", "redis://127.0.0.1:6379/0")
app = Celery("project", broker=_valkey, backend=_valkey)


@shared_task(name="project.count_entries")
def count_entries() -> dict[str, int]:
    """Package -> number of entries, on a connection that stays open from task to task."""
    from project.contents import read_packages

    return {package["name"]: package["entries"] for package in read_packages()}
