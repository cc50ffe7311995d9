"""GET /achievements: content, masking, ETag, the documented keys, publication."""

import json
from typing import Any

import msgspec
import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from achievements.api.shapes import Catalogue, Definition
from achievements.models import Achievement
from achievements.rulebooks import publish_rulebook
from tests.api import Api, read_problem

pytestmark = pytest.mark.usefixtures("catalogue")


def read(response: Any) -> Any:
    assert response.status_code == 200, response.content
    assert response["Content-Type"] == "application/json"
    return json.loads(response.content)


def test_the_catalogue_has_the_described_shape(api: Api) -> None:
    document = read(api.get("/achievements"))
    msgspec.json.Decoder(Catalogue).decode(json.dumps(document))
    by_slug = {one["slug"]: one for one in document["achievements"]}
    assert [level["target"] for level in by_slug["typist"]["levels"]] == [1, 10, 100]

    one = read(api.get("/achievements/quick"))
    msgspec.json.Decoder(Definition).decode(json.dumps(one))
    assert one == by_slug["quick"]


def test_what_is_hidden_is_masked_on_the_server(api: Api) -> None:
    for path in ("/achievements", "/achievements/flawless"):
        text = api.get(path).content.decode()
        assert "Flawless" not in text
        assert "flawless.svg" not in text
        assert "How to get flawless" not in text


@pytest.mark.usefixtures("referring")
def test_a_sentence_tells_nothing_that_is_hidden_elsewhere(api: Api) -> None:
    by_slug = {one["slug"]: one for one in read(api.get("/achievements"))["achievements"]}
    assert by_slug["crown"]["levels"][0]["sentence"] == "Unlock “???”, and finish 3 tests."
    counted = by_slug["counted"]
    assert counted["description"] == "How to get counted."
    assert counted["levels"][0]["sentence"] == "Hidden until you unlock it."
    assert "7,391" not in api.get("/achievements").content.decode()


def test_an_unknown_slug_is_a_problem(api: Api) -> None:
    read_problem(api.get("/achievements/nothing"), 404)
    read_problem(api.get("/achievements/" + "x" * 500), 404)
    read_problem(api.get("/achievements/%00"), 404)


@pytest.mark.parametrize("path", ["/achievements", "/achievements/quick"])
def test_a_current_copy_is_304(api: Api, path: str) -> None:
    first = api.get(path)
    etag = first["ETag"]
    assert first["Cache-Control"] == "public, max-age=60"
    for wanted in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        again = api.get(path, headers={"If-None-Match": wanted})
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", etag)
    for wanted in ('"other"', "", etag.strip('"') + "x"):
        assert api.get(path, headers={"If-None-Match": wanted}).status_code == 200


def test_a_hit_is_ready_bytes_under_the_documented_key(api: Api) -> None:
    api.get("/achievements")
    api.get("/achievements/quick")
    assert cache.get("achievements:all") is not None
    assert cache.get("achievement:quick") is not None
    with CaptureQueriesContext(
        connection,
    ) as queries:
        api.get("/achievements")
        api.get("/achievements/quick")
    assert [one["sql"] for one in queries if "publications" not in one["sql"]] == []


def test_a_publication_replaces_the_documents(
    api: Api, django_capture_on_commit_callbacks: Any
) -> None:
    assert read(api.get("/achievements/quick"))["name"] == "Quick"
    Achievement.objects.filter(slug="quick").update(name="Swift")
    with django_capture_on_commit_callbacks(execute=True):
        publish_rulebook()
    assert read(api.get("/achievements/quick"))["name"] == "Swift"
    assert "Swift" in api.get("/achievements").content.decode()


def test_head_and_other_methods(api: Api) -> None:
    head = api.call("HEAD", "/achievements")
    assert (head.status_code, head.content) == (200, b"")
    assert head["ETag"]
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"):
        response = api.call(method, "/achievements", b"{}")
        read_problem(response, 405)
        assert response["Allow"] == "GET, HEAD"


def test_who_accepts_no_json_gets_406(api: Api) -> None:
    read_problem(api.get("/achievements", headers={"Accept": "text/html"}), 406)
    for accept in ("application/json", "text/html, */*;q=0.1", "application/*"):
        assert api.get("/achievements", headers={"Accept": accept}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/api/v1", "/api/v2/achievements", "/api/v1/achievements/", "/api/x/y"]
)
def test_any_other_address_below_api_is_a_problem(api: Api, path: str) -> None:
    read_problem(api.get(path), 404)
    read_problem(api.post(path, {}), 404)


def test_cors_is_for_the_origins_of_the_setting(api: Api, settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://typing.example.org"]
    for origin, is_allowed in (
        ("https://typing.example.org", True),
        ("https://evil.example.org", False),
    ):
        response = api.get("/achievements", headers={"Origin": origin})
        assert response.has_header("Access-Control-Allow-Origin") is is_allowed
    preflight = api.call(
        "OPTIONS",
        "/events",
        headers={
            "Origin": "https://typing.example.org",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, content-type",
        },
    )
    assert preflight.status_code == 200
    assert "authorization" in preflight["Access-Control-Allow-Headers"]
