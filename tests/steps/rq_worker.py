"""An RQ worker that ends when its queue is empty."""

import os
import sys

import django
from django.utils.module_loading import import_string
from redis import Redis
from rq import Queue

if __name__ == "__main__":
    django.setup()
    redis = Redis.from_url(os.environ["STEPS_REDIS_URL"])
    queue = Queue(os.environ["STEPS_QUEUE"], connection=redis)
    import_string(sys.argv[1])([queue], connection=redis).work(burst=True)
    redis.close()
