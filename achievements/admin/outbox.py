"""Events that could not be applied (face): read them, and try them again."""

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from achievements.admin.user_id import read_user_id
from achievements.models import Outbox
from achievements.outbox import dispatch


@admin.register(Outbox)
class OutboxAdmin(ModelAdmin):  # type: ignore[misc]
    """Failed rows alone: what waits for its turn is short-lived, and nobody should touch it."""

    list_display = ("id", "show_user", "short_error", "created_at", "failed_at")
    ordering = ("id",)
    fields = ("id", "show_user", "show_event", "error", "created_at", "failed_at")
    readonly_fields = fields
    actions = ("retry",)
    search_fields = ("user_id",)
    search_help_text = "User id"
    list_per_page = 50
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Outbox]:
        queryset: QuerySet[Outbox] = super().get_queryset(request)
        return queryset.filter(failed_at__isnull=False)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Outbox], search_term: str
    ) -> tuple[QuerySet[Outbox], bool]:
        if not search_term.strip():
            return queryset, False
        user_id = read_user_id(search_term)
        return (queryset.filter(user_id=user_id) if user_id else queryset.none()), False

    @admin.display(description="User", ordering="user_id")
    def show_user(self, row: Outbox) -> int:
        return row.user_id

    @admin.display(description="Error")
    def short_error(self, row: Outbox) -> str:
        return row.error if len(row.error) <= 120 else f"{row.error[:119]}…"

    @admin.display(description="Event")
    def show_event(self, row: Outbox) -> str:
        return bytes(row.event)[:4000].decode(errors="replace")

    @admin.action(description="Try again", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Outbox]) -> None:
        # Only rows that still carry the failure: another worker may have taken one meanwhile.
        with transaction.atomic():
            rows = queryset.filter(failed_at__isnull=False).update(failed_at=None, error="")
            transaction.on_commit(dispatch, robust=True)
        noun = "event was" if rows == 1 else "events were"
        self.message_user(
            request,
            f"{rows} {noun} handed on again. One that still cannot be applied comes back here.",
            messages.SUCCESS,
        )

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("achievements.change_outbox"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
