"""Baseline: the profile as a plain DRF view reads and serialises it, without any cache."""

from typing import Any, ClassVar

from django.db.models import Sum
from django.templatetags.static import static
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from achievements.models import Achievement, Status, Tally, UserAchievement
from achievements.tables import USERS_TALLY


class UnlockSerializer(serializers.ModelSerializer[UserAchievement]):
    """One achievement that the user holds; the context has definitions and holders by id."""

    slug = serializers.SerializerMethodField()
    name = serializers.SerializerMethodField()
    description = serializers.SerializerMethodField()
    category = serializers.SerializerMethodField()
    icon = serializers.SerializerMethodField()
    points = serializers.SerializerMethodField()
    unlockedAt = serializers.DateTimeField(source="unlocked_at")
    rarity = serializers.SerializerMethodField()

    class Meta:
        model = UserAchievement
        fields: ClassVar = [
            *("slug", "name", "description", "category", "icon"),
            *("level", "points", "unlockedAt", "rarity"),
        ]

    def get_slug(self, unlock: UserAchievement) -> str:
        return self._define(unlock).slug

    def get_name(self, unlock: UserAchievement) -> str:
        return self._define(unlock).name

    def get_description(self, unlock: UserAchievement) -> str:
        return self._define(unlock).unlocked_description

    def get_category(self, unlock: UserAchievement) -> str:
        return self._define(unlock).category

    def get_icon(self, unlock: UserAchievement) -> str:
        return static(f"achievements/icons/{self._define(unlock).icon}.svg")

    def get_points(self, unlock: UserAchievement) -> int:
        levels = self._define(unlock).levels[: unlock.level]
        return sum(level["points"] for level in levels)

    def get_rarity(self, unlock: UserAchievement) -> float | None:
        holders: dict[tuple[int, int], int] = self.context["holders"]
        users: int = self.context["users"]
        if users < 20:
            return None
        percent = min(100.0, 100 * holders.get((unlock.achievement_id, unlock.level), 0) / users)
        digits = 1 if percent >= 10 else 2 if percent >= 1 else 3 if percent >= 0.1 else 4
        return round(percent, digits)

    def _define(self, unlock: UserAchievement) -> Achievement:
        return self.context["definitions"][unlock.achievement_id]  # type: ignore[no-any-return]


class ProfileView(APIView):
    def get(self, request: Request, user_id: int) -> Response:
        held: dict[int, UserAchievement] = {}
        for unlock in UserAchievement.objects.filter(user_id=user_id, revoked_at=None):
            best = held.get(unlock.achievement_id)
            if best is None or unlock.level > best.level:
                held[unlock.achievement_id] = unlock
        definitions = Achievement.objects.in_bulk(list(held))
        counted = Tally.objects.filter(achievement_id__in=[*held, 0])
        totals = counted.values_list("achievement_id", "level").annotate(total=Sum("holders"))
        holders = {(achievement_id, level): total for achievement_id, level, total in totals}
        context = {
            "definitions": definitions, "holders": holders, "users": holders.get(USERS_TALLY, 0)
        }  # fmt: skip
        in_order = sorted(held.values(), key=lambda u: _order_of(definitions[u.achievement_id]))
        entries: Any = UnlockSerializer(in_order, many=True, context=context).data
        return Response(
            {
                "userId": user_id,
                "points": sum(entry["points"] for entry in entries),
                "unlockedCount": len(entries),
                "totalCount": Achievement.objects.filter(status=Status.LIVE).count(),
                "achievements": entries,
            }
        )


def _order_of(achievement: Achievement) -> tuple[int, str]:
    return achievement.sort_order, achievement.slug
