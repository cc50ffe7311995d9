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
