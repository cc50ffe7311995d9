"""The list of definitions (face): its filter, and the holders of a page."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.views import ChangeList

from achievements.admin.holders import count_holders
from achievements.models import Achievement


class HiddenFilter(admin.SimpleListFilter):
    title = "hidden"
    parameter_name = "hidden"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Hides something"), ("no", "Hides nothing")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Achievement]
    ) -> QuerySet[Achievement]:
        if self.value() == "yes":
            return queryset.exclude(hidden=[])
        return queryset.filter(hidden=[]) if self.value() == "no" else queryset


class AchievementChangeList(ChangeList):  # type: ignore[misc]
    """Counts the holders of the page in one query, whatever its length."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list: list[Any] = list(self.result_list)
        holders = count_holders(achievement.pk for achievement in self.result_list)
        for achievement in self.result_list:
            achievement.holders = holders[achievement.pk]
