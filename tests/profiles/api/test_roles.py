"""Every endpoint against every role: who gets which answer."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model

from profiles.services import set_privacy
from tests.api import CUSTOMER_EVENT, OTHER, TEST_RESULT, USER, Api, create_key, read_problem

pytestmark = pytest.mark.usefixtures("catalogue")

ROLES = ("nobody", "owner", "other", "service", "scopeless", "staff", "customer")
OWN = f"/users/{USER}"
EXPLANATION = f"{OWN}/achievements/quick/explanation"
# Answers in the order of ROLES. The profile of USER is private in all of them.
MATRIX: dict[tuple[str, str], tuple[int, ...]] = {
    ("GET", "/achievements"): (200, 200, 200, 200, 200, 200, 200),
    ("GET", "/achievements/quick"): (200, 200, 200, 200, 200, 200, 200),
    ("GET", f"/users/summaries?ids={USER}"): (200, 200, 200, 200, 200, 200, 200),
    ("GET", f"{OWN}/achievements"): (404, 200, 404, 404, 404, 200, 404),
    ("GET", f"{OWN}/progress"): (404, 200, 404, 404, 404, 200, 404),
    ("GET", EXPLANATION): (401, 200, 404, 404, 404, 200, 404),
    ("GET", f"{OWN}/notifications"): (401, 200, 404, 404, 404, 200, 404),
    # Only a token opens a stream; these tests' server cannot stream, and says it to the owner.
    ("GET", f"{OWN}/stream"): (401, 501, 404, 404, 404, 401, 401),
    ("POST", f"{OWN}/notifications/read"): (401, 200, 403, 403, 403, 403, 403),
    ("POST", "/test-results"): (401, 201, 201, 403, 403, 403, 403),
    ("GET", "/test-results/1/outcome"): (401, 404, 404, 403, 403, 403, 403),
    # The session is no credential here: only keys, and tokens to say why not.
    ("POST", "/events"): (401, 403, 403, 202, 403, 401, 401),
}
BODIES: dict[str, Any] = {
    "/test-results": TEST_RESULT,
    "/events": CUSTOMER_EVENT,
    f"{OWN}/notifications/read": {"upTo": 1},
}
CASES = [
    (method, path, role, status)
    for (method, path), statuses in MATRIX.items()
    for role, status in zip(ROLES, statuses, strict=True)
]


@pytest.mark.parametrize(("method", "path", "role", "status"), CASES)
def test_who_gets_what(api: Api, method: str, path: str, role: str, status: int) -> None:
    set_privacy(user_id=USER, is_private=True)
    options: dict[str, Any] = {}
    match role:
        case "owner":
            options["user"] = USER
        case "other":
            options["user"] = OTHER
        case "service":
            options["key"] = create_key("events:write")
        case "scopeless":
            options["key"] = create_key()
        case "staff" | "customer":
            user = get_user_model().objects.create_user(
                role, password="x", is_staff=role == "staff"
            )
            api.client.force_login(user)
    response = api.call(method, path, BODIES.get(path), **options)
    if status < 400:
        assert response.status_code == status, response.content
    else:
        read_problem(response, status)
        assert response.has_header("WWW-Authenticate") is (status == 401)


def test_every_endpoint_is_in_the_matrix() -> None:
    from django.urls import URLResolver, get_resolver

    prefixes = {
        pattern.pattern.regex.pattern
        for resolver in get_resolver().url_patterns
        if isinstance(resolver, URLResolver) and str(resolver.pattern) == "api/v1/"
        for pattern in resolver.url_patterns
    }
    assert len(prefixes) == len(MATRIX)


@pytest.mark.parametrize("path", [path for method, path in MATRIX if method == "POST"])
def test_methods_that_are_not_there(api: Api, path: str) -> None:
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "TRACE"):
        response = api.call(method, path, user=USER)
        read_problem(response, 405)
        assert "POST" in response["Allow"]
