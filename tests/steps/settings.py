"""Those of the test session, for processes that it starts."""

import os

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS, POOLS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.steps"]
DATABASES["default"]["NAME"] = os.environ["STEPS_DATABASE"]
if "STEPS_MONGODB_URL" in os.environ:
    POOLS["steps"] = {
        "BACKEND": "poolapp.backends.mongodb.MongoBackend",
        "LOCATION": os.environ["STEPS_MONGODB_URL"],
    }
