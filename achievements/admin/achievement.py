"""The admin of definitions (face): list, edit with a checked rule, publish, history."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from simple_history.admin import SimpleHistoryAdmin
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from achievements.admin.achievement_form import AchievementForm
from achievements.admin.achievement_list import AchievementChangeList, HiddenFilter
from achievements.admin.criteria_preview import preview_criteria, read_names
from achievements.admin.definition_check import check_draft
from achievements.admin.deletion import find_reason_to_keep
from achievements.admin.history_text import JsonContextHelper
from achievements.admin.holders import Holders, count_holders
from achievements.admin.icons import find_icon_url
from achievements.admin.status_change import CHANGES, REBUILD_HINT, confirm_change
from achievements.definitions import save_achievements
from achievements.models import Achievement, Status

STATUS_LABELS = {
    Status.DRAFT.value: "info",
    Status.LIVE.value: "success",
    Status.LOCKED.value: "warning",
    Status.RETIRED.value: "danger",
}


@admin.register(Achievement)
class AchievementAdmin(SimpleHistoryAdmin, ModelAdmin):  # type: ignore[misc]
    form = AchievementForm
    list_display = (
        *("show_name", "category", "show_status", "show_levels", "show_points"),
        *("show_holders", "version", "updated_at"),
    )
    list_filter = ("status", "category", HiddenFilter)
    search_fields = ("slug", "name", "locked_description", "criteria_text")
    search_help_text = "Slug, name, description, or a word of the criteria"
    ordering = ("sort_order", "slug")
    list_per_page = 50
    show_full_result_count = False
    actions = ("publish", "lock", "retire")
    actions_detail = ("publish_this", "lock_this", "retire_this")
    warn_unsaved_form = True
    history_list_display = ("version", "status")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("slug", "name", "category", "icon"),
                    *("locked_description", "unlocked_description", "seen"),
                )
            },
        ),
        ("Rule", {"fields": ("criteria", "levels", "active_from", "active_until")}),
        ("Display", {"fields": ("hidden", "sort_order")}),
        (
            "State",
            {"fields": ("status_text", "version", "show_holders", "created_at", "updated_at")},
        ),
    )
    readonly_fields = ("status_text", "version", "show_holders", "created_at", "updated_at")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("preview/", view(preview_criteria), name="achievements_achievement_preview"),
            path(
                "status/<slug:name>/",
                view(confirm_change),
                {"model_admin": self},
                name="achievements_achievement_status",
            ),
        ]
        return [*own, *super().get_urls()]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[AchievementChangeList]:
        return AchievementChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Achievement]:
        queryset: QuerySet[Achievement] = super().get_queryset(request)
        return queryset.annotate(criteria_text=Cast("criteria", TextField()))

    def get_readonly_fields(
        self, request: HttpRequest, obj: Achievement | None = None
    ) -> Sequence[str]:
        always = tuple(self.readonly_fields)
        if obj is None:
            return always
        if not self.has_change_permission(request, obj):
            return ("show_sentence", *always)
        return ("slug", *always)

    def get_fieldsets(self, request: HttpRequest, obj: Achievement | None = None) -> Any:
        if obj is None:
            return self.fieldsets[:-1]
        if self.has_change_permission(request, obj):
            return self.fieldsets
        # Readers get the sentence in place of the box that would show it beside them.
        return [
            (title, {"fields": [*(["show_sentence"] * (title == "Rule")), *_without_seen(parts)]})
            for title, parts in self.fieldsets
        ]

    # Saving: through the rulebook, so that what staff see is what workers judge by.

    def save_model(self, request: HttpRequest, obj: Achievement, form: Any, change: bool) -> None:
        obj._history_user = request.user  # type: ignore[attr-defined]
        version = 0
        # A revert is posted outside a transaction of the admin's.
        with transaction.atomic():
            if change:
                stored = Achievement.objects.select_for_update().get(pk=obj.pk)
                version = obj.version = stored.version
                # A revert posts an old row: only what the form shows may come from it.
                obj.status, obj.created_at = stored.status, stored.created_at
            save_achievements([obj])
        if obj.status == Status.DRAFT:
            self.message_user(
                request, f"{obj.name} is a draft: nobody sees it until it is published."
            )
        if version not in (0, obj.version) and obj.status == Status.LIVE:
            self.message_user(request, f"Version {obj.version} is live. {REBUILD_HINT}")

    def get_historical_record_context_helper(
        self, request: HttpRequest, historical_record: Any
    ) -> JsonContextHelper:
        return JsonContextHelper(self.model, historical_record)

    # Deleting: drafts alone.

    def has_delete_permission(self, request: HttpRequest, obj: Achievement | None = None) -> bool:
        allowed = bool(super().has_delete_permission(request, obj))
        return allowed and (obj is None or not find_reason_to_keep(obj))

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)
        # One by one, on its own page: there it can say why an achievement has to stay.
        actions.pop("delete_selected", None)
        return actions

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        obj = self.get_object(request, object_id)
        reason = find_reason_to_keep(obj) if obj else ""
        if obj and reason and self.has_view_permission(request, obj):
            self.message_user(request, f"{obj.name} cannot be deleted: {reason}", messages.ERROR)
            return redirect("admin:achievements_achievement_change", obj.pk)
        answer: HttpResponse = super().delete_view(request, object_id, extra_context)
        return answer

    def render_change_form(self, request: HttpRequest, context: Any, **kwargs: Any) -> HttpResponse:
        obj = kwargs.get("obj")
        context["reason_to_keep"] = find_reason_to_keep(obj) if obj else ""
        answer: HttpResponse = super().render_change_form(request, context, **kwargs)
        return answer

    # Publish, lock, retire: each asks first.

    @admin.action(description="Publish (make live)", permissions=["change"])
    def publish(self, request: HttpRequest, queryset: QuerySet[Achievement]) -> HttpResponse:
        return _ask("publish", queryset.values_list("pk", flat=True))

    @admin.action(description="Lock (nobody new)", permissions=["change"])
    def lock(self, request: HttpRequest, queryset: QuerySet[Achievement]) -> HttpResponse:
        return _ask("lock", queryset.values_list("pk", flat=True))

    @admin.action(description="Retire (holders only)", permissions=["change"])
    def retire(self, request: HttpRequest, queryset: QuerySet[Achievement]) -> HttpResponse:
        return _ask("retire", queryset.values_list("pk", flat=True))

    @action(description="Publish", permissions=["publish_this"], icon="publish")  # type: ignore[untyped-decorator]
    def publish_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return _ask("publish", [object_id])

    @action(description="Lock", permissions=["lock_this"], icon="lock")  # type: ignore[untyped-decorator]
    def lock_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return _ask("lock", [object_id])

    @action(description="Retire", permissions=["retire_this"], icon="inventory_2")  # type: ignore[untyped-decorator]
    def retire_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return _ask("retire", [object_id])

    def has_publish_this_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return self._may_move(request, object_id, "publish")

    def has_lock_this_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return self._may_move(request, object_id, "lock")

    def has_retire_this_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return self._may_move(request, object_id, "retire")

    def _may_move(self, request: HttpRequest, object_id: str, name: str) -> bool:
        if not self.has_change_permission(request):
            return False
        obj = self.get_object(request, str(object_id))
        return obj is not None and obj.status in CHANGES[name].allowed_from

    # Columns.

    @display(description="Achievement", header=True, ordering="name")  # type: ignore[untyped-decorator]
    def show_name(self, obj: Achievement) -> list[Any]:
        url = find_icon_url(obj.icon)
        picture = {"path": url, "squared": True, "borderless": True, "width": 32, "height": 32}
        return [obj.name, obj.slug, "", picture if url else None]

    @display(description="Status", label=STATUS_LABELS, ordering="status")  # type: ignore[untyped-decorator]
    def show_status(self, obj: Achievement) -> tuple[str, str]:
        return obj.status, Status(obj.status).label.partition(":")[0]

    @admin.display(description="Status")
    def status_text(self, obj: Achievement) -> str:
        return Status(obj.status).label

    @admin.display(description="Levels")
    def show_levels(self, obj: Achievement) -> int:
        return len(obj.levels)

    @admin.display(description="Points")
    def show_points(self, obj: Achievement) -> int:
        return sum(level["points"] for level in obj.levels)

    @admin.display(description="Holders")
    def show_holders(self, obj: Achievement) -> Holders:
        known: Holders | None = getattr(obj, "holders", None)
        return known or count_holders([obj.pk])[obj.pk]

    @admin.display(description="In plain words")
    def show_sentence(self, obj: Achievement) -> str:
        draft = check_draft(obj.criteria, obj.levels, read_names())
        return " ".join([draft.summary, *draft.level_lines])


def _without_seen(parts: Any) -> list[str]:
    return [name for name in parts["fields"] if name != "seen"]


def _ask(name: str, ids: Any) -> HttpResponse:
    address = reverse("admin:achievements_achievement_status", args=[name])
    return redirect(f"{address}?{urlencode([('id', pk) for pk in ids])}")
