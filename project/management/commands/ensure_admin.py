"""`manage.py ensure_admin`: the demo's administrator, with the password of a file."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

from project.keyfile import read_or_create


class Command(BaseCommand):
    help = "Create the user `admin`, or set its password, from a file that is made when missing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("password_file", type=Path)

    def handle(self, *args: Any, password_file: Path, **options: Any) -> None:
        password = read_or_create(password_file, length=12)
        users = get_user_model()._default_manager
        user, _ = users.get_or_create(
            username="admin", defaults={"is_staff": True, "is_superuser": True}
        )
        if not user.check_password(password):
            user.set_password(password)
            user.save(update_fields=["password"])
