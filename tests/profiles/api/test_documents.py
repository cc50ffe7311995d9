"""A user's achievements and progress: shapes, cached bytes, 304, masking, privacy."""

import json
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from achievements.rulebooks import publish_rulebook
from profiles.api.shapes import UserAchievements, UserProgress
from profiles.models import Profile
from profiles.services import set_privacy
from tests.api import OTHER, TEST_RESULT, USER, Api, define, read_problem

pytestmark = pytest.mark.usefixtures("catalogue")

DOCUMENTS = ["achievements", "progress"]
SHAPES: dict[str, Any] = {"achievements": UserAchievements, "progress": UserProgress}


@pytest.fixture
def sign_in_staff(api: Api) -> None:
    staff = get_user_model().objects.create_user("ada", password="x", is_staff=True)
    api.client.force_login(staff)


@pytest.fixture
def sign_in_customer(api: Api) -> None:
    api.client.force_login(get_user_model().objects.create_user("eve", password="x"))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_documents_have_the_described_shape(api: Api, name: str) -> None:
    for has_tests in (False, True):
        if has_tests:
            api.post("/test-results", TEST_RESULT, user=USER)
        response = api.get(f"/users/{USER}/{name}")
        assert response.status_code == 200
        decoded: Any = msgspec.json.decode(response.content, type=SHAPES[name])
        assert decoded.user_id == USER
        assert sorted(json.loads(response.content)) == sorted(
            field.encode_name for field in msgspec.structs.fields(SHAPES[name])
        )


def test_an_unknown_user_has_an_empty_profile(api: Api) -> None:
    profile = json.loads(api.get("/users/987654321/achievements").content)
    assert (profile["points"], profile["unlockedCount"], profile["achievements"]) == (0, 0, [])
    assert profile["totalCount"] == 3


def test_what_others_fill_for_too_long_is_a_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("achievements.filling.MOST_WAIT_SECONDS", 0.05)
    monkeypatch.setattr("achievements.filling._HELP_AFTER_SECONDS", 60)
    cache.set(f"user:{{{USER}}}:achievements", b"lease:slow", 60)
    response = api.get(f"/users/{USER}/achievements")
    read_problem(response, 503)
    assert int(response["Retry-After"]) > 0


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_hit_is_ready_bytes_without_a_query(api: Api, name: str) -> None:
    first = api.get(f"/users/{USER}/{name}")
    key = {"achievements": "achievements", "progress": "achievement_progress"}[name]
    kept = cache.get(f"user:{{{USER}}}:{key}")
    assert isinstance(kept, bytes)
    assert kept.endswith(first.content)
    with CaptureQueriesContext(connection) as queries:
        again = api.get(f"/users/{USER}/{name}")
        api.get(f"/users/{USER}/{name}", user=USER)
    assert again.content == first.content
    assert [one["sql"] for one in queries if "publications" not in one["sql"]] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_304_until_an_unlock(api: Api, name: str) -> None:
    first = api.get(f"/users/{USER}/{name}")
    assert "no-cache" in first["Cache-Control"]
    assert {"Authorization", "Cookie"} <= set(first["Vary"].split(", "))
    headers = {"If-None-Match": first["ETag"]}
    assert api.get(f"/users/{USER}/{name}", headers=headers).status_code == 304

    api.post("/test-results", TEST_RESULT, user=USER)
    changed = api.get(f"/users/{USER}/{name}", headers=headers)
    assert changed.status_code == 200
    assert changed["ETag"] != first["ETag"]


def test_what_is_hidden_shows_only_once_it_is_held(api: Api) -> None:
    api.post("/test-results", TEST_RESULT, user=USER)
    for path in ("/achievements", f"/users/{USER}/achievements", f"/users/{USER}/progress"):
        assert "flawless" not in api.get(path, user=USER).content.decode().lower()
    api.post("/test-results", {**TEST_RESULT, "accuracy": 100}, user=USER)
    assert "You got flawless" in api.get(f"/users/{USER}/achievements").content.decode()
    assert "flawless" not in api.get("/achievements").content.decode().lower()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_closing_a_profile_holds_on_a_cached_document(
    api: Api, name: str, django_capture_on_commit_callbacks: Any
) -> None:
    path = f"/users/{USER}/{name}"
    public = api.get(path)
    assert public.status_code == 200

    with django_capture_on_commit_callbacks(execute=True):
        set_privacy(user_id=USER, is_private=True)
    for _ in range(2):  # filled, then from the cache
        read_problem(api.get(path), 404)
        read_problem(api.get(path, headers={"If-None-Match": public["ETag"]}), 404)
        read_problem(api.get(path, user=OTHER), 404)
        own = api.get(path, user=USER)
        assert own.status_code == 200
        assert own["Cache-Control"] == "private, no-cache"

    with django_capture_on_commit_callbacks(execute=True):
        Profile.objects.get(user_id=USER).delete()
    assert api.get(path).status_code == 200


def test_the_404_of_a_private_profile_says_nothing(api: Api) -> None:
    Profile.objects.create(user_id=USER, display_name="Ada Lovelace", is_private=True)
    private = api.get(f"/users/{USER}/achievements")
    elsewhere = api.get("/users/0/achievements")
    assert private.content == elsewhere.content
    names = {name for name in private.headers if not name.startswith("RateLimit")}
    assert "ETag" not in names


@pytest.mark.usefixtures("sign_in_staff")
def test_staff_reads_a_private_profile(api: Api) -> None:
    set_privacy(user_id=USER, is_private=True)
    assert api.get(f"/users/{USER}/achievements").status_code == 200
    # A token says who asks, whatever session comes with it.
    read_problem(api.get(f"/users/{USER}/achievements", user=OTHER), 404)


@pytest.mark.usefixtures("sign_in_customer")
def test_another_session_does_not(api: Api) -> None:
    set_privacy(user_id=USER, is_private=True)
    read_problem(api.get(f"/users/{USER}/achievements"), 404)
    read_problem(api.get(f"/users/{USER}/notifications"), 404)


# Parts of documents.


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("points", {"points": 20}),
        ("points,userId", {"points": 20, "userId": USER}),
        (" points , achievements.slug ", {"points": 20, "achievements": ["quick", "typist"]}),
        ("achievements.slug,achievements.slug", {"achievements": ["quick", "typist"]}),
    ],
)
def test_fields_choose_what_is_sent(api: Api, fields: str, expected: dict[str, Any]) -> None:
    api.post("/test-results", TEST_RESULT, user=USER)
    for _ in range(2):  # filled, then from the cache
        answer = api.get(f"/users/{USER}/achievements?fields={quote(fields)}")
        part = json.loads(answer.content)
        for entry in part.get("achievements", []):
            assert set(entry) == {"slug"}
        if "achievements" in part:
            part["achievements"] = sorted(entry["slug"] for entry in part["achievements"])
        assert part == expected
    assert json.loads(api.get(f"/users/{USER}/achievements?fields=").content)["totalCount"] == 3


def test_a_part_has_an_etag_of_its_own(api: Api) -> None:
    path = f"/users/{USER}/progress?fields=achievements.percent"
    whole, part = api.get(f"/users/{USER}/progress"), api.get(path)
    assert part["ETag"] != whole["ETag"]
    assert api.get(path, headers={"If-None-Match": part["ETag"]}).status_code == 304
    assert api.get(path, headers={"If-None-Match": whole["ETag"]}).status_code == 200


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ("nothing", "nothing"),
        ("points,nothing", "nothing"),
        ("achievements.nothing", "achievements.nothing"),
        ("points.nothing", "points"),
        (",".join(f"f{number}" for number in range(21)), "20"),
    ],
)
def test_fields_that_do_not_exist_are_named(api: Api, fields: str, named: str) -> None:
    api.post("/test-results", TEST_RESULT, user=USER)
    problem = read_problem(api.get(f"/users/{USER}/achievements?fields={fields}"), 400)
    assert problem["errors"][0]["pointer"] == "/fields"
    assert named in problem["detail"]


def test_fields_are_the_same_for_a_user_without_entries(api: Api) -> None:
    path = "/users/987654321/achievements?fields=achievements"
    assert json.loads(api.get(f"{path}.slug").content) == {"achievements": []}
    read_problem(api.get(f"{path}.nothing"), 400)


@pytest.mark.parametrize(
    "fields", ["achievements,achievements.slug", "achievements.slug,achievements"]
)
def test_the_whole_and_a_part_of_it_are_the_whole(api: Api, fields: str) -> None:
    api.post("/test-results", TEST_RESULT, user=USER)
    whole = json.loads(api.get(f"/users/{USER}/achievements").content)
    part = json.loads(api.get(f"/users/{USER}/achievements?fields={fields}").content)
    assert part == {"achievements": whole["achievements"]}


def test_fields_that_only_some_entries_have_are_asked_of_all(api: Api) -> None:
    define("steady", {"average": "wpm", "last": 3, "atLeast": 40})
    publish_rulebook()
    api.post("/test-results", TEST_RESULT, user=USER)
    answer = api.get(f"/users/{USER}/progress?fields=achievements.tests")
    entries = json.loads(answer.content)["achievements"]
    assert {"tests": 1} in entries
    assert {} in entries


def test_a_part_of_a_private_profile_is_private(api: Api) -> None:
    set_privacy(user_id=USER, is_private=True)
    path = f"/users/{USER}/achievements?fields=points"
    read_problem(api.get(path), 404)
    assert api.get(path, user=USER)["Cache-Control"] == "private, no-cache"
