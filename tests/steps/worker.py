"""A Celery worker that knows the project's tasks, with Valkey as broker and for the results."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.steps.settings")

_valkey = os.environ["STEPS_REDIS_URL"]
app = Celery("steps", broker=_valkey, backend=_valkey)
app.conf.task_default_queue = os.environ["STEPS_QUEUE"]
app.conf.broker_connection_retry_on_startup = True
app.autodiscover_tasks()
