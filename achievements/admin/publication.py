"""Published rulebooks (face): a list to read, since unlocks name the version that made them."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from achievements.models import Publication


@admin.register(Publication)
class PublicationAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("version", "published_at")
    ordering = ("-version",)
    readonly_fields = ("version", "published_at", "document")
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> Any:
        queryset = super().get_queryset(request)
        # A document holds every definition: hundreds of kilobytes that a list does not show.
        match = request.resolver_match
        is_list = match is not None and str(match.url_name).endswith("_changelist")
        return queryset.defer("document") if is_list else queryset

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
