"""What the admin's pages of the pools show."""

from __future__ import annotations

from typing import Any

from django import template

from poolapp import conf, pages
from poolapp.conf import Effective
from poolapp.core.exceptions import ConfigurationError
from poolapp.monitoring import words

register = template.Library()


@register.simple_tag(takes_context=True)
def may_see_pools(context: template.Context) -> bool:
    user = getattr(context.get("request"), "user", None)
    return user is not None and pages.may_see(user)


@register.simple_tag
def overview() -> dict[str, Any]:
    """All pools of all workers, as ``pages.context`` has them."""
    return pages.context(pages.found())


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


@register.filter
def admin_quote(alias: str) -> Any:
    """As the admin's addresses have it."""
    # Django loads this module in every project, also where the admin is not installed.
    from django.contrib.admin.utils import quote

    return quote(alias)
