"""The admin's "Reindex": a tool of the list of entries, and a page that shows how far it is.

Its views are synchronous, so they run in threads: Celery's own calls block.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST, require_safe

from project.stores import StoreUnavailable

if TYPE_CHECKING:
    from project.jobs import Look
    from project.models import Entry

    ModelAdmin = admin.ModelAdmin[Entry]
else:
    ModelAdmin = admin.ModelAdmin

ORDERED: Final = "Reindex: task "
"""With the task's id, this is the message of an order in the admin's log."""

JUST_NOW: Final = timedelta(seconds=10)
"""A second click leads to the order of the first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    task_id: UUID
    at: datetime
    by: str

    @classmethod
    def of(cls, entry: LogEntry) -> Order:
        task_id = UUID(entry.change_message.removeprefix(ORDERED))
        return cls(task_id=task_id, at=entry.action_time, by=str(entry.user))

    def look(self) -> Look:
        """How far it is; blocks."""
        # Here, so that not every command that loads the admin loads Celery.
        from project.jobs import look

        return look(self.task_id, self.at)

    @property
    def is_under_way(self) -> bool:
        state = self.look().state
        return state == "running" or (state == "waiting" and timezone.now() - self.at < JUST_NOW)


class ReindexingAdmin(ModelAdmin):
    """Who may change entries may have them all written to the search index; who may see them sees
    how far that is."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("reindex/", wrap(self.reindex_view), name="project_entry_reindex"),
            path(
                "reindex/<uuid:task_id>/",
                wrap(self.progress_view),
                name="project_entry_progress",
            ),
            path(
                "reindex/<uuid:task_id>/progress.json",
                wrap(self.progress_json_view),
                name="project_entry_progress_json",
            ),
        ]
        return own + super().get_urls()

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        tools = {"may_reindex": self.has_change_permission(request), "last_order": self._last()}
        return super().changelist_view(request, {**tools, **(extra_context or {})})

    @method_decorator(require_POST)
    def reindex_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        last = self._last()
        if last is not None and last.is_under_way:
            messages.info(request, "It is being done already.")
            return self._to_progress(last.task_id)
        try:
            task_id = self._order(request)
        except StoreUnavailable as error:
            messages.error(request, f"{error}: nothing was started. Run {error.reason}")
            return HttpResponseRedirect(reverse("admin:project_entry_changelist"))
        return self._to_progress(task_id)

    @method_decorator(require_safe)
    def progress_view(self, request: HttpRequest, task_id: UUID) -> HttpResponse:
        order = self._ordered(request, task_id)
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": "Reindexing",
            "opts": self.opts,
            "order": order,
            "look": order.look(),
            "may_reindex": self.has_change_permission(request),
        }
        return TemplateResponse(request, "admin/project/entry/reindex.html", context)

    @method_decorator(require_safe)
    def progress_json_view(self, request: HttpRequest, task_id: UUID) -> HttpResponse:
        return JsonResponse(self._ordered(request, task_id).look().as_dict())

    def _order(self, request: HttpRequest) -> UUID:
        """Write it into the log and send it: both or neither."""
        from project.jobs import start

        task_id = uuid4()
        with transaction.atomic():
            LogEntry.objects.create(
                user_id=request.user.pk,
                content_type=ContentType.objects.get_for_model(self.model),
                object_repr=f"All {self.opts.verbose_name_plural}",
                action_flag=CHANGE,
                change_message=f"{ORDERED}{task_id}",
            )
            start(task_id)
        return task_id

    def _to_progress(self, task_id: UUID) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:project_entry_progress", args=(task_id,)))

    def _ordered(self, request: HttpRequest, task_id: UUID) -> Order:
        """The order of that task; there are none but those of the log."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        return Order.of(get_object_or_404(self._log(), change_message=f"{ORDERED}{task_id}"))

    def _last(self) -> Order | None:
        entry = self._log().order_by("-action_time").first()
        return None if entry is None else Order.of(entry)

    def _log(self) -> QuerySet[LogEntry]:
        content_type = ContentType.objects.get_for_model(self.model)
        entries = LogEntry.objects.filter(
            content_type=content_type, change_message__startswith=ORDERED
        )
        return entries.select_related("user")
