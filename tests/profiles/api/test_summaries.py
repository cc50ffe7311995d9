"""What profiles begin with, of many users at once."""

import json
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext

from profiles.api.shapes import UserSummaries
from profiles.services import set_privacy
from tests.api import OTHER, TEST_RESULT, USER, Api, read_problem

pytestmark = pytest.mark.usefixtures("catalogue")


def read_summaries(api: Api, *user_ids: int, **options: Any) -> list[int]:
    text = ",".join(map(str, user_ids))
    response = api.get(f"/users/summaries?ids={text}", **options)
    assert response.status_code == 200, response.content
    return [one.user_id for one in msgspec.json.decode(response.content, type=UserSummaries).users]


@pytest.mark.parametrize("state", ["cold", "warm", "partly warm"])
def test_summaries_say_what_profiles_say_in_the_order_asked_for(api: Api, state: str) -> None:
    api.post("/test-results", TEST_RESULT, user=USER)
    ids = [OTHER, USER, 3, 1]
    if state != "cold":
        for user_id in ids if state == "warm" else ids[1:3]:
            api.get(f"/users/{user_id}/achievements")
    assert read_summaries(api, *ids, USER) == ids
    answer = api.get(f"/users/summaries?ids={', '.join(map(str, ids))}")
    for summary in json.loads(answer.content)["users"]:
        profile = json.loads(api.get(f"/users/{summary['userId']}/achievements").content)
        profile.pop("achievements")
        assert summary == profile
    headers = {"If-None-Match": answer["ETag"]}
    again = api.get(f"/users/summaries?ids={','.join(map(str, ids))}", headers=headers)
    assert again.status_code == 304


def test_many_misses_are_one_set_of_queries_and_hits_none(api: Api) -> None:
    read_summaries(api, 1)  # the definitions, once for all
    counts = []
    for first, many in ((1000, 2), (2000, 100)):
        with CaptureQueriesContext(connection) as queries:
            assert len(read_summaries(api, *range(first, first + many))) == many
        counts.append(len([one for one in queries if "publications" not in one["sql"]]))
    assert counts[0] == counts[1] <= 4
    with CaptureQueriesContext(connection) as queries:
        read_summaries(api, *range(2000, 2100))
    assert [one["sql"] for one in queries if "publications" not in one["sql"]] == []


@pytest.mark.parametrize(
    ("ids", "code"),
    [
        ("", "bound"),
        (",,", "bound"),
        (",".join(map(str, range(1, 102))), "bound"),
        ("0", "type"),
        ("-1", "type"),
        ("1.5", "type"),
        ("x", "type"),
        ("1,x", "type"),
        ("٣", "type"),
        (str(2**63), "type"),
        ("9" * 5000, "type"),
    ],
)
def test_ids_have_bounds(api: Api, ids: str, code: str) -> None:
    problem = read_problem(api.get(f"/users/summaries?ids={quote(ids)}"), 400)
    assert (problem["errors"][0]["pointer"], problem["errors"][0]["code"]) == ("/ids", code)


def test_a_hundred_are_not_too_many_and_one_asked_twice_is_one(api: Api) -> None:
    assert read_summaries(api, *range(1, 101), *range(1, 101)) == list(range(1, 101))
    read_problem(api.get("/users/summaries"), 400)
    part = api.get(f"/users/summaries?ids={2**63 - 1}&fields=users.points")
    assert json.loads(part.content) == {"users": [{"points": 0}]}


def test_who_is_private_is_left_out_for_others(api: Api) -> None:
    set_privacy(user_id=USER, is_private=True)
    for _ in range(2):  # filled, then from the cache
        assert read_summaries(api, 1, USER, OTHER) == [1, OTHER]
        assert read_summaries(api, 1, USER, OTHER, user=OTHER) == [1, OTHER]
        assert read_summaries(api, 1, USER, OTHER, user=USER) == [1, USER, OTHER]
    own = api.get(f"/users/summaries?ids={USER}", user=USER)
    assert own["Cache-Control"] == "private, no-cache"
    assert "Authorization" in own["Vary"]


def test_staff_sees_all_summaries(api: Api) -> None:
    staff = get_user_model().objects.create_user("ada", password="x", is_staff=True)
    api.client.force_login(staff)
    set_privacy(user_id=USER, is_private=True)
    assert read_summaries(api, 1, USER) == [1, USER]
