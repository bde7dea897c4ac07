"""The pools of all workers, at ``/admin/poolapp/``: what they do, and what may be done to them.

The overview is the page of the app's index, whose template Django looks up by the app's label; the
model's own page is the same. Of the database only the log of what was done is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote, unquote
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_http_methods, require_safe

from poolapp import pages
from poolapp.core.registry import pools
from poolapp.models import Pool
from poolapp.monitoring.fleet import fleet
from poolapp.ordering import ORDERS, OrderForm, ResizeForm, summary

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Pool]
else:
    ModelAdmin = admin.ModelAdmin

REMEMBERED = 10
"""Orders of the log that an alias's page shows."""


@admin.register(Pool)
class PoolAdmin(ModelAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Pool | None = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        """Without a table there are no rows: an alias's page stands where a row's would."""
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.changelist_view), name="poolapp_pool_changelist"),
            path("status.json", wrap(self.status_view), name="poolapp_pool_status"),
            path("<str:alias>/", wrap(self.alias_view), name="poolapp_pool_change"),
            path("<str:alias>/<str:verb>/", wrap(self.order_view), name="poolapp_pool_order"),
            path(
                "<str:alias>/<str:verb>/<int:entry>/",
                wrap(self.done_view),
                name="poolapp_pool_done",
            ),
        ]

    # -- looking -------------------------------------------------------------------------------

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        self._need_to_see(request)
        return self.admin_site.app_index(request, "poolapp", extra_context)

    @method_decorator(require_safe)
    def status_view(self, request: HttpRequest) -> HttpResponse:
        """For a page that polls: what the status consumer would send."""
        self._need_to_see(request)
        return JsonResponse(pages.message(pages.found(), request.GET.get("alias")))

    @method_decorator(require_safe)
    def alias_view(self, request: HttpRequest, alias: str) -> HttpResponse:
        self._need_to_see(request)
        alias = unquote(alias)
        shown = pages.context(pages.found(), alias)
        if shown["pool"] is None:
            raise Http404(f"There is no pool {alias!r}.")
        may_order = self.has_change_permission(request) and alias in pools
        context = {
            **shown,
            "orders": ORDERS.values() if may_order else (),
            "entries": self._log(alias)[:REMEMBERED],
        }
        return self._page(request, "pool", alias, alias, context)

    # -- ordering ------------------------------------------------------------------------------

    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def order_view(self, request: HttpRequest, alias: str, verb: str) -> HttpResponse:
        """GET asks whether it is meant; POST does it, logs it, leads to what the workers said."""
        alias = unquote(alias)
        if not self.has_change_permission(request):
            raise PermissionDenied
        if verb not in ORDERS or alias not in pools:
            raise Http404("There is no such order, or no such pool.")
        order, config = ORDERS[verb], pools.config(alias)
        found = pages.found()
        form = (ResizeForm if verb == "resize" else OrderForm)(
            request.POST if request.method == "POST" else None,
            processes=found.processes,
            initial={"min_size": config.min_size, "max_size": config.max_size},
        )
        if form.is_valid():
            details = {**form.cleaned_data}
            worker = details.pop("worker") or None
            answers = pools.run(fleet.order, verb, alias, worker=worker, **details)
            entry = self._write(request, alias, summary(verb, answers, details, found.processes))
            return HttpResponseRedirect(
                reverse(
                    "admin:poolapp_pool_done",
                    args=(quote(alias), verb, entry.pk),
                    current_app=self.admin_site.name,
                )
            )
        shown = pages.context(found, alias)
        consequence = order.consequence(shown["pool"])
        context = {**shown, "order": order, "consequence": consequence, "form": form}
        return self._page(request, "order", f"{order.label} {alias}", alias, context)

    @method_decorator(require_safe)
    def done_view(self, request: HttpRequest, alias: str, verb: str, entry: int) -> HttpResponse:
        """What the workers said."""
        self._need_to_see(request)
        alias = unquote(alias)
        done = get_object_or_404(self._log(alias), pk=entry)
        headline, *answers = done.change_message.split("\n")
        context = {"done": done, "headline": headline, "answers": answers}
        title = f"{ORDERS[verb].label} {alias}" if verb in ORDERS else alias
        return self._page(request, "done", title, alias, context)

    def _log(self, alias: str) -> Any:
        content_type = ContentType.objects.get_for_model(Pool)
        entries = LogEntry.objects.filter(content_type=content_type, object_id=alias)
        return entries.select_related("user").order_by("-action_time")

    def _write(self, request: HttpRequest, alias: str, message: str) -> LogEntry:
        entry: Any = self.log_change(request, Pool(alias=alias), message)
        # Django 5.2 gives the entry, later ones a list of one.
        made: LogEntry = entry[0] if isinstance(entry, list) else entry
        return made

    # -- both ----------------------------------------------------------------------------------

    def _need_to_see(self, request: HttpRequest) -> None:
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied

    def _page(
        self, request: HttpRequest, name: str, title: str, alias: str, context: dict[str, Any]
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        every_page = self.admin_site.each_context(request)
        context = {**every_page, "title": title, "alias": alias, "opts": self.opts, **context}
        return TemplateResponse(request, f"admin/poolapp/{name}.html", context)
