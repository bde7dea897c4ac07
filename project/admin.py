"""The admin's view of the entries: to look at, not to edit."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from project.models import Entry, Import

admin.site.site_header = "poolapp demo"
admin.site.site_title = "poolapp demo"


class _ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Entry)
class EntryAdmin(_ReadOnly):
    list_display = ("qualified_name", "kind", "summary")
    list_filter = ("kind",)
    search_fields = ("qualified_name", "summary")
    list_per_page = 50
    show_full_result_count = False

    def view_on_site(self, obj: Entry) -> str:
        return reverse("entry", args=(obj.qualified_name,))


@admin.register(Import)
class ImportAdmin(_ReadOnly):
    list_display = ("__str__", "finished", "index_name")
