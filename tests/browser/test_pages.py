"""What the server sends without a browser: statuses, headers, and the development-only parts."""

from typing import Any

import pytest
from django.test import Client

from profiles import views
from profiles.models import Profile

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/", "/u/5"])
def test_it_is_never_kept_by_a_cache(client: Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert "private" in response["Cache-Control"]


@pytest.mark.parametrize(
    "path", ["/u/0", f"/u/{2**63}", f"/u/{'9' * 5000}", "/u/-1", "/u/x", "/no"]
)
def test_it_answers_404_in_the_pages_own_style(client: Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert b"There is nothing here" in response.content


def test_a_wrong_address_looks_the_same_in_development(client: Client, settings: Any) -> None:
    settings.DEBUG = True
    for response in (client.get("/no/such/page"), client.get("/u/0"), client.post("/no")):
        assert response.status_code == 404
        assert b"There is nothing here" in response.content


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        *(("/u/12345/", "/u/12345"), ("/admin", "/admin/"), ("/api/docs/", "/api/docs")),
        *(("/api", "/api/docs"), ("/api/", "/api/docs")),
        ("/favicon.ico", "/static/profiles/favicon.svg"),
    ],
)
def test_an_address_that_is_nearly_right_leads_on(client: Client, path: str, meant: str) -> None:
    response = client.get(path)
    assert (response.status_code, response["Location"]) == (302, meant)


def test_it_answers_unknown_api_addresses_with_a_problem(client: Client) -> None:
    response = client.get("/api/v1/nothing")
    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"


def test_it_refuses_to_change_anything(client: Client) -> None:
    assert client.post("/").status_code == 405


def test_it_shows_the_error_page_without_the_database(
    rf: Any, django_db_blocker: Any, settings: Any
) -> None:
    settings.DEBUG = False
    with django_db_blocker.block():
        response = views.show_server_error(rf.get("/"))
    assert response.status_code == 500
    assert b"Something broke" in response.content
    assert b"/admin/" not in response.content


def test_it_offers_demo_sign_in_only_in_development(client: Client, settings: Any) -> None:
    Profile.objects.create(user_id=5, display_name="Ada <Quickly>")
    settings.DEBUG = True
    signed_in = client.get("/?as=5").content
    assert b"Ada &lt;Quickly&gt;" in signed_in
    assert b'name="laurel-token" content="ey' in signed_in
    settings.DEBUG = False
    for path in ("/?as=5", "/u/5"):
        page = client.get(path).content
        assert b'name="laurel-token" content=""' in page
        assert b"data-demo" not in page
        assert b"/admin/" not in page


def test_it_signs_nobody_in_where_tokens_are_not_ours(client: Client, settings: Any) -> None:
    settings.DEBUG = True
    settings.JWT_ALGORITHM = "RS256"
    response = client.get("/?as=5")
    assert response.status_code == 200
    assert b'name="laurel-token" content=""' in response.content


@pytest.mark.parametrize("wanted", ["", "0", "-1", "x", "٣", str(2**63), "5' OR 1=1", "9" * 5000])
def test_it_signs_nobody_in_for_a_bad_id(client: Client, settings: Any, wanted: str) -> None:
    settings.DEBUG = True
    response = client.get("/", {"as": wanted})
    assert response.status_code == 200
    assert b'name="laurel-token" content=""' in response.content
