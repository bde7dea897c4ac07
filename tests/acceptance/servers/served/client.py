"""Have the Celery worker do tasks, those that are named or twenty of both kinds; print answers."""

import json
import sys

from served.worker import app

names = sys.argv[1:] or ["by_run", "by_async_to_sync"] * 10
sent = [app.send_task(f"served.worker.{name}") for name in names]
for result in sent:
    print("answer", json.dumps(result.get(timeout=60)), flush=True)
app.close()
