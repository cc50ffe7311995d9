"""Calls to the API as a client makes them, and a small catalogue to call it with.

Imports of models stay inside the functions: conftest files are read before Django is set up.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from profiles.tokens import issue_token

USER = 12345
OTHER = 54321
CUSTOMER_EVENT = {
    "userId": USER,
    "testResultId": 67890,
    "eventType": "test_completed",
    "metrics": {"wpm": 85.5, "accuracy": 98.2, "testCount": 150},
}
TEST_RESULT = {"wpm": 85.5, "accuracy": 98.2, "durationSeconds": 30}


class Api:
    """A client; each call also runs what waits for its transaction's commit."""

    def __init__(self, run_commits: Callable[..., AbstractContextManager[Any]]) -> None:
        self.client = Client(raise_request_exception=False, enforce_csrf_checks=True)
        self.run_commits = run_commits

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: int | None = None,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        content_type: str = "application/json",
        **environ: Any,
    ) -> Any:
        sent = dict(headers or {})
        if user is not None:
            sent["Authorization"] = f"Bearer {issue_token(user_id=user)}"
        if key is not None:
            sent["Authorization"] = f"Api-Key {key}"
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body)
        url = path if path.startswith("/api") else f"/api/v1{path}"
        with self.run_commits(execute=True):
            return self.client.generic(
                method, url, data, content_type=content_type, headers=sent, **environ
            )

    def get(self, path: str, **options: Any) -> Any:
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        return self.call("POST", path, body, **options)


def read_problem(response: HttpResponse, status: int) -> dict[str, Any]:
    """The problem document; checks what holds for every one of them."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    assert response["Cache-Control"] == "no-store"
    problem: dict[str, Any] = json.loads(response.content)
    assert problem["status"] == status
    assert set(problem) == {"type", "title", "status", "code", "detail", "errors"}
    for error in problem["errors"]:
        assert set(error) == {"pointer", "code", "detail"}
    assert "Traceback" not in response.content.decode()
    return problem


@pytest.fixture
def api(
    db: None, django_capture_on_commit_callbacks: Callable[..., AbstractContextManager[Any]]
) -> Api:
    return Api(django_capture_on_commit_callbacks)


@pytest.fixture
def key(db: None) -> str:
    return create_key("events:write")


def create_key(*scopes: str, **fields: Any) -> str:
    from achievements.models import ServiceKey

    _, secret = ServiceKey.objects.create_key(name="site", scopes=list(scopes), **fields)
    return str(secret)


def define(slug: str, criteria: dict[str, Any], *targets: float | None, **fields: Any) -> Any:
    from achievements.models import Achievement, Status

    values = {
        "name": slug.replace("-", " ").title(),
        "locked_description": f"How to get {slug}.",
        "unlocked_description": f"You got {slug}.",
        "category": "speed",
        "icon": f"{slug}.svg",
        "status": Status.LIVE,
        "levels": [{"target": target, "points": 10} for target in targets or (None,)],
        **fields,
    }
    return Achievement.objects.create(slug=slug, criteria=criteria, **values)


@pytest.fixture
def catalogue(
    db: None, django_capture_on_commit_callbacks: Callable[..., AbstractContextManager[Any]]
) -> Iterator[None]:
    """Three achievements: one with levels, one easy, one hidden with everything it has."""
    from achievements.models import Achievement
    from achievements.rulebooks import forget_rulebook, publish_rulebook

    forget_rulebook()
    Achievement.objects.all().delete()
    define("typist", {"count": "tests"}, 1, 10, 100)
    define("quick", {"best": "wpm", "atLeast": 80})
    define(
        "flawless",
        {"count": "tests", "where": {"accuracy": {"gte": 100}}, "atLeast": 1},
        hidden=["title", "icon", "description", "count"],
    )
    with django_capture_on_commit_callbacks(execute=True):
        publish_rulebook()
    yield
    # The next test's database knows nothing of this publication.
    forget_rulebook()


@pytest.fixture
def referring(
    catalogue: None, django_capture_on_commit_callbacks: Callable[..., AbstractContextManager[Any]]
) -> None:
    """Two more: one that asks for the hidden one, and one that hides its count alone."""
    from achievements.rulebooks import publish_rulebook

    define("crown", {"all": [{"unlocked": "flawless"}, {"count": "tests", "atLeast": 3}]})
    define("counted", {"count": "tests", "atLeast": 7391}, hidden=["count"])
    with django_capture_on_commit_callbacks(execute=True):
        publish_rulebook()


def stay_within(window: int, *, seconds: int) -> None:
    """Calls of the next seconds are counted in one window: wait for the next if this one ends."""
    left = window - time.time() % window
    if left < seconds:
        time.sleep(left + 0.1)  # the clock may be set back a little meanwhile
