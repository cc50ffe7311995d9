"""The admin of profiles (face): found by user id, never listed.

Test results are not here at all: with billions of rows no page of them can be ordered or
counted. The user look-up shows a user's newest ones.
"""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from achievements.admin.user_id import read_user_id
from profiles.models import Profile


@admin.register(Profile)
class ProfileAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("user_id", "display_name", "is_private", "created_at")
    fields = ("user_id", "display_name", "is_private", "created_at")
    readonly_fields = ("user_id", "created_at")
    search_fields = ("user_id",)
    search_help_text = "A whole user id. Profiles are found by it alone; there are too many."
    show_full_result_count = False
    ordering = ("user_id",)
    actions = None

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Profile], search_term: str
    ) -> tuple[QuerySet[Profile], bool]:
        user_id = read_user_id(search_term)
        return (queryset.filter(user_id=user_id) if user_id else queryset.none()), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        # The host site makes users; a profile begins with the first thing that a user sets.
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
