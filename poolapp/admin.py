"""The pools of this process, at ``/admin/poolapp/``.

The page is that of the app's index, whose template Django looks up by the app's label; the
model's own page is the same. Nothing is read from the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from poolapp.models import Pool

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Pool]
else:
    ModelAdmin = admin.ModelAdmin


@admin.register(Pool)
class PoolAdmin(ModelAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Pool | None = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        """The list only: without a table there are no rows to open."""
        view = self.admin_site.admin_view(self.changelist_view)
        return [path("", view, name="poolapp_pool_changelist")]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        return self.admin_site.app_index(request, "poolapp", extra_context)
