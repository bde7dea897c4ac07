"""Celery, with Valkey as the broker and for the results."""

import json
import os
from typing import Any

from asgiref.sync import async_to_sync
from celery import Celery
from celery.signals import worker_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "served.settings")

app = Celery(
    "served", broker=os.environ["SERVED_REDIS_URL"], backend=os.environ["SERVED_REDIS_URL"]
)
app.conf.task_default_queue = os.environ["SERVED_NAME"]
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_hijack_root_logger = False
app.conf.worker_send_task_events = False


@app.task
def by_run() -> dict[str, Any]:
    from served.work import ask

    from poolapp import pools

    return pools.run(ask)


@app.task
def by_async_to_sync() -> dict[str, Any]:
    from served.work import ask

    return async_to_sync(ask)()


@worker_init.connect
def use_pools_before_the_fork(**details: Any) -> None:
    if "SERVED_USED_BY_PARENT" in os.environ:
        print("answer", json.dumps(by_run()), flush=True)
