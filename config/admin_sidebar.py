"""The sidebar of the admin: every page by what it is for."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import reverse


def list_navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the theme's navigation groups; a link shows to those who may open it."""
    return [
        {
            "title": "Achievements",
            "items": [
                _item("Achievements", "trophy", "achievements_achievement", "achievements"),
                {
                    "title": "User look-up",
                    "icon": "person_search",
                    "link": reverse("admin:achievements_user_lookup"),
                    "permission": _needs("achievements.view_userprogress"),
                },
                _item("Profiles", "badge", "profiles_profile", "profiles"),
            ],
        },
        {
            "title": "Operation",
            "separator": True,
            "items": [
                _item("Failed events", "error", "achievements_outbox", "achievements"),
                _item("Rulebooks", "menu_book", "achievements_publication", "achievements"),
                _item("Service keys", "key", "achievements_servicekey", "achievements"),
            ],
        },
        {
            "title": "Staff",
            "separator": True,
            "items": [
                _item("Accounts", "person", "auth_user", "auth"),
                _item("Groups", "group", "auth_group", "auth"),
            ],
        },
    ]


def _item(title: str, icon: str, name: str, app: str) -> dict[str, Any]:
    model = name.removeprefix(f"{app}_")
    return {
        "title": title,
        "icon": icon,
        "link": reverse(f"admin:{name}_changelist"),
        "permission": _needs(f"{app}.view_{model}", f"{app}.change_{model}"),
    }


def _needs(*permissions: str) -> Callable[[HttpRequest], bool]:
    return lambda request: any(request.user.has_perm(name) for name in permissions)
