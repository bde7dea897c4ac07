"""Write the table: ``python -m tests.integration.contract``."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from tests.integration.contract.table import FILE, table  # noqa: E402 - needs Django

FILE.write_text(table())
