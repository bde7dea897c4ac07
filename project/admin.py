"""The admin's view of the entries: their summaries can be edited, all else is to look at."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from project.models import Entry, Import
from project.reindexing import ReindexingAdmin

admin.site.site_header = "poolapp demo"
admin.site.site_title = "poolapp demo"


class _Imported(admin.ModelAdmin):  # type: ignore[type-arg]
    """What an import brings and replaces."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Entry)
class EntryAdmin(ReindexingAdmin, _Imported):
    """What is saved here is found by the search soon after: entries keep in step."""

    list_display = ("qualified_name", "kind", "summary")
    list_filter = ("kind",)
    search_fields = ("qualified_name", "summary")
    list_per_page = 50
    show_full_result_count = False
    readonly_fields = (
        "qualified_name", "kind", "module", "parent", "signature", "aliases", "docstring",
        "source_file", "source_line",
    )  # fmt: skip
    fields = (*readonly_fields[:5], "summary", *readonly_fields[5:])

    def view_on_site(self, obj: Entry) -> str:
        return reverse("entry", args=(obj.qualified_name,))


@admin.register(Import)
class ImportAdmin(_Imported):
    list_display = ("__str__", "finished", "index_name")

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False
