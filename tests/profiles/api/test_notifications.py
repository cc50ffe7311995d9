"""Notifications: paging by cursor, marking as read, refusals."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from achievements.models import Achievement, Notification
from profiles.api.shapes import Notifications
from tests.api import OTHER, USER, Api, read_problem

pytestmark = pytest.mark.usefixtures("catalogue")
PATH = f"/users/{USER}/notifications"


@pytest.fixture
def forty_five(catalogue: None) -> None:
    achievement_id = Achievement.objects.get(slug="quick").pk
    for user_id in (USER, OTHER):
        Notification.objects.bulk_create(
            Notification(
                user_id=user_id,
                sequence=sequence,
                achievement_id=achievement_id,
                level=1,
                created_at=datetime(2026, 1, 1, tzinfo=UTC),
            )
            for sequence in range(1, 46)
        )


def read_page(api: Api, query: str = "") -> Any:
    response = api.get(PATH + query, user=USER)
    assert response.status_code == 200, response.content
    assert response["Cache-Control"] == "no-store"
    msgspec.json.decode(response.content, type=Notifications)
    return json.loads(response.content)


@pytest.mark.usefixtures("forty_five")
# The one that arrives is of an achievement that was withdrawn since.
def test_pages_cover_everything_once_while_new_ones_arrive(api: Api) -> None:
    seen: list[int] = []
    page = read_page(api)
    while True:
        seen += [one["sequence"] for one in page["notifications"]]
        if page["nextCursor"] is None:
            break
        if len(seen) == 20:
            Notification.objects.create(
                user_id=USER,
                sequence=46,
                achievement_id=999_999,
                level=1,
                created_at=datetime.now(UTC),
            )
        page = read_page(api, f"?cursor={page['nextCursor']}")
    assert seen == list(range(45, 0, -1))
    assert [one["sequence"] for one in read_page(api, "?limit=1")["notifications"]] == [46]


@pytest.mark.usefixtures("forty_five")
def test_a_full_last_page_has_no_next(api: Api) -> None:
    page = read_page(api, "?cursor=46&limit=45")
    assert len(page["notifications"]) == 45
    assert page["nextCursor"] is None
    assert read_page(api, "?cursor=1")["notifications"] == []


@pytest.mark.parametrize("name", ["cursor", "limit"])
@pytest.mark.parametrize("value", ["0", "-1", "x", "", "1.5", "9" * 30, "٣", "1e3", "null"])
def test_a_wrong_parameter_is_named(api: Api, name: str, value: str) -> None:
    problem = read_problem(api.get(f"{PATH}?{name}={value}", user=USER), 400)
    assert problem["errors"][0]["pointer"] == f"/{name}"
    assert problem["detail"].startswith(f"{name} must be")


def test_the_page_has_a_largest_size(api: Api) -> None:
    problem = read_problem(api.get(f"{PATH}?limit=101", user=USER), 400)
    assert "100" in problem["errors"][0]["detail"]


@pytest.mark.usefixtures("forty_five")
def test_marking_as_read(api: Api) -> None:
    first = api.post(f"{PATH}/read", {"upTo": 40}, user=USER)
    assert json.loads(first.content) == {"markedCount": 40}
    again = api.post(f"{PATH}/read", {"upTo": 42}, user=USER)
    assert json.loads(again.content) == {"markedCount": 2}
    unread = Notification.objects.filter(user_id=USER, read_at=None)
    assert sorted(unread.values_list("sequence", flat=True)) == [43, 44, 45]
    assert Notification.objects.filter(user_id=OTHER, read_at=None).count() == 45
    page = read_page(api, "?limit=5")["notifications"]
    assert [one["readAt"] is None for one in page] == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({}, "/upTo"), ({"upTo": 0}, "/upTo"), ({"upTo": "1"}, "/upTo"), ({"upTo": 2**63}, "/upTo")],
)
def test_a_wrong_body_is_named(api: Api, body: Any, pointer: str) -> None:
    problem = read_problem(api.post(f"{PATH}/read", body, user=USER), 400)
    assert problem["errors"][0]["pointer"] == pointer
    read_problem(api.post(f"{PATH}/read", b"[" * 16_000, user=USER), 400)
