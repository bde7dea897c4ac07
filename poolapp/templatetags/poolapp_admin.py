"""What the admin's page of the pools shows."""

from __future__ import annotations

from typing import Any

from django import template
from django.contrib.auth.models import AnonymousUser

from poolapp import conf
from poolapp.conf import Effective
from poolapp.core.exceptions import ConfigurationError
from poolapp.monitoring import words
from poolapp.monitoring.health import monitor
from poolapp.monitoring.picture import ProcessPicture, take

register = template.Library()


@register.simple_tag(takes_context=True)
def process_picture(context: template.Context) -> ProcessPicture | None:
    """The pools of this process; None for who may not see them."""
    user: Any = getattr(context.get("request"), "user", None) or AnonymousUser()
    allowed = user.has_perm("poolapp.view_pool") or user.has_perm("poolapp.change_pool")
    return take(monitor) if user.is_active and user.is_staff and allowed else None


@register.simple_tag
def settings_of(alias: str) -> list[Effective]:
    """The settings in force of an alias; none when they are wrong."""
    try:
        return conf.effective_settings(alias)
    except ConfigurationError:
        return []


@register.filter
def duration(seconds: float) -> str:
    return words.duration(seconds)
