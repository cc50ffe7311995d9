"""What goes wrong on our side: a problem that says nothing of the inside."""

from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection

from tests.api import USER, Api, read_problem

pytestmark = pytest.mark.usefixtures("catalogue")
PATHS = [f"/users/{USER}/achievements", f"/users/{USER}/notifications"]
CANARY = "canary-4711"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError(CANARY), 500),
        (OperationalError(2006, CANARY), 503),
        (InterfaceError(0, CANARY), 503),
    ],
    ids=["bug", "database-away", "connection-lost"],
)
def test_a_failure_is_a_problem_without_its_cause(
    api: Api, path: str, error: Exception, status: int
) -> None:
    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "publications" in sql:
            return execute(sql, params, many, context)
        raise error

    with connection.execute_wrapper(fail):
        response = api.get(path, user=USER)
    read_problem(response, status)
    assert CANARY not in response.content.decode()
    assert response.has_header("Retry-After") is (status == 503)
    # Nothing of the failure stays in the cache.
    assert api.get(path, user=USER).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/achievements", "/api/v1/events", "/api/schema"])
def test_a_host_that_is_not_ours_is_a_problem(api: Api, path: str) -> None:
    read_problem(api.get(path, headers={"Host": "elsewhere.example"}), 400)


@pytest.mark.parametrize("path", ["/api/schema", "/api/docs"])
def test_the_description_can_only_be_read(api: Api, path: str) -> None:
    for method in ("OPTIONS", "POST", "DELETE"):
        read_problem(api.call(method, path), 405)
    assert api.get(path).status_code == 200


def test_the_description_takes_no_version_from_its_caller(api: Api) -> None:
    plain = api.get("/api/schema")
    for version in ("%0AX-Injected:%201", "%3Cscript%3E", "2"):
        response = api.get(f"/api/schema?version={version}")
        assert response.status_code == 200
        assert response.content == plain.content


def test_allowed_origins_may_ask_whether_a_copy_is_current(api: Api, settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://typing.example.org"]
    response = api.call(
        "OPTIONS",
        f"/users/{USER}/achievements",
        headers={
            "Origin": "https://typing.example.org",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization,if-none-match",
        },
    )
    allowed = response["Access-Control-Allow-Headers"].split(", ")
    assert {"authorization", "if-none-match", "content-type"} <= set(allowed)
    assert response["Access-Control-Allow-Methods"] == "GET, HEAD, POST, OPTIONS"
