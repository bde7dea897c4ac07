"""Of the processes that the tests of the fleet start."""

import json
import os
import time

from poolapp.monitoring.fleet import timing

timing.INTERVAL = 0.1
timing.LIFETIME = 0.6
timing.LINGER = 0.3
timing.COMMAND_DELAY = float(os.environ.get("FLEET_COMMAND_DELAY", "30"))

SKEW = float(os.environ.get("FLEET_SKEW", "0"))
"""Seconds by which this process's clock is wrong."""
if SKEW:
    right = time.time
    time.time = lambda: right() + SKEW

SECRET_KEY = os.environ.get("FLEET_SECRET_KEY", "for the tests only")
SECRET_KEY_FALLBACKS = json.loads(os.environ.get("FLEET_FALLBACKS", "[]"))
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "fleet.urls"
INSTALLED_APPS = ["poolapp", "fleet"]
MIDDLEWARE: list[str] = []
POOLS = json.loads(os.environ["FLEET_POOLS"])
POOLAPP = {"FLEET": "cache", "FLEET_NAME": os.environ["FLEET_NAME"]}
