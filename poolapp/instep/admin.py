"""What is not in step yet, and why."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from poolapp.instep.background import kick
from poolapp.instep.models import Step


@admin.register(Step)
class StepAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("__str__", "marked", "attempts", "due", "error")
    list_filter = ("model", "manager")
    search_fields = ("key", "error")
    actions = ("try_now",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        # Who may change them may have them tried; there is nothing to edit.
        return obj is None and super().has_change_permission(request)

    @admin.action(description="Try them now", permissions=("change",))
    def try_now(self, request: HttpRequest, queryset: QuerySet[Step]) -> None:
        count = queryset.update(due=Now(), claimed_until=None)
        kick(queryset.db)
        self.message_user(request, f"{count} will be tried now.")
