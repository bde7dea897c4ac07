"""Have the Celery worker do twenty tasks, ten of each kind; print each answer."""

import json

from served.worker import app, by_async_to_sync, by_run

sent = [task.delay() for _ in range(10) for task in (by_run, by_async_to_sync)]
for result in sent:
    print("answer", json.dumps(result.get(timeout=60)), flush=True)
app.close()
