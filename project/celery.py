"""The demo's Celery app: `celery --app project worker`, with Valkey as its broker.

`manage.py demo` starts a worker; Valkey alone is started by `manage.py devservices up redis`.
"""

from __future__ import annotations

import os

from celery import Celery, shared_task

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

app = Celery("project")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()  # poolapp.tasks among them
# Of all threads: Celery's own "current app" is one of the thread that made it.
app.set_default()


@shared_task(name="project.count_entries")
def count_entries() -> dict[str, int]:
    """Package -> number of entries, on a connection that stays open from task to task."""
    from project.contents import read_packages

    return {package["name"]: package["entries"] for package in read_packages()}
