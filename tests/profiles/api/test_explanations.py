"""GET why, or why not yet."""

import json
from typing import Any

import msgspec
import pytest
from django.contrib.auth import get_user_model

from achievements.rulebooks import publish_rulebook
from profiles.api.shapes import Explanation, Outcome, UserProgress
from tests.api import TEST_RESULT, USER, Api, define, read_problem

pytestmark = pytest.mark.usefixtures("catalogue")


def explain(api: Api, slug: str) -> Any:
    response = api.get(f"/users/{USER}/achievements/{slug}/explanation", user=USER)
    assert response.status_code == 200, response.content
    msgspec.json.decode(response.content, type=Explanation)
    return json.loads(response.content)


def test_why_not_yet_and_then_why(api: Api) -> None:
    before = explain(api, "quick")
    assert (before["met"], before["unlockedAt"]) == (False, None)
    assert before["conditions"][0]["target"] == 80

    saved = json.loads(api.post("/test-results", TEST_RESULT, user=USER).content)
    after = explain(api, "quick")
    assert after["met"] is True
    assert after["evidence"]["testResultId"] == saved["testResultId"]


def test_the_next_level_is_explained(api: Api) -> None:
    api.post("/test-results", TEST_RESULT, user=USER)
    assert explain(api, "typist")["conditions"][0]["target"] == 10


def test_an_average_says_over_how_many_tests_it_goes(api: Api) -> None:
    define("steady", {"average": "wpm", "last": 3, "atLeast": 40})
    publish_rulebook()
    saved = json.loads(api.post("/test-results", TEST_RESULT, user=USER).content)
    outcome = api.get(saved["outcome"].removeprefix("/api/v1"), user=USER).content
    progress = api.get(f"/users/{USER}/progress").content
    for body, shape in ((outcome, Outcome), (progress, UserProgress)):
        decoded: Any = msgspec.json.decode(body, type=shape)
        entries = decoded.progress if shape is Outcome else decoded.achievements
        found = {one.slug: (one.tests, one.tests_needed) for one in entries}
        assert found["steady"] == (1, 3)
        assert found["typist"] == (msgspec.UNSET, msgspec.UNSET)
    condition = explain(api, "steady")["conditions"][0]
    assert (condition["tests"], condition["testsNeeded"], condition["met"]) == (1, 3, False)


def test_unknown_and_hidden_ones_are_404(api: Api) -> None:
    for slug in ("nothing", "flawless"):
        path = f"/users/{USER}/achievements/{slug}/explanation"
        read_problem(api.get(path, user=USER), 404)


def test_staff_sees_what_is_hidden(api: Api) -> None:
    staff = get_user_model().objects.create_user("ada", password="x", is_staff=True)
    api.client.force_login(staff)
    response = api.get(f"/users/{USER}/achievements/flawless/explanation")
    assert json.loads(response.content)["name"] == "Flawless"


@pytest.mark.usefixtures("referring")
def test_what_another_one_hides_is_masked_until_it_is_held(api: Api) -> None:
    assert explain(api, "crown")["sentence"] == "Unlock “???”, and finish 3 tests."
    assert "Flawless" not in json.dumps(explain(api, "crown"))
    counted = explain(api, "counted")
    assert (counted["sentence"], counted["conditions"]) == ("Hidden until you unlock it.", [])

    api.post("/test-results", {**TEST_RESULT, "accuracy": 100}, user=USER)
    assert explain(api, "crown")["sentence"] == "Unlock “Flawless”, and finish 3 tests."
    assert "Flawless" in json.dumps(explain(api, "crown")["conditions"])
