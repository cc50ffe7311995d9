"""The description of the API: complete, valid, true of real answers; its page works offline."""

import json
import re
from contextlib import suppress
from io import StringIO
from typing import Any

import pytest
import schemathesis
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.test import Client
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as bound
from hypothesis.errors import Unsatisfiable
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from profiles.tokens import issue_token
from tests.api import USER, create_key

EXAMPLES = 15


def test_the_schema_has_no_warning_and_is_valid() -> None:
    call_command(
        "spectacular", "--fail-on-warn", "--validate", "--format=openapi-json", stdout=StringIO()
    )


@pytest.fixture
def document(db: None) -> Any:
    response = Client().get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"})
    assert response.status_code == 200
    return json.loads(response.content)


def test_every_endpoint_and_every_refusal_is_described(document: Any) -> None:
    assert sorted(document["paths"]) == [
        "/api/v1/achievements",
        "/api/v1/achievements/{slug}",
        "/api/v1/events",
        "/api/v1/test-results",
        "/api/v1/test-results/{test_result_id}/outcome",
        "/api/v1/users/summaries",
        "/api/v1/users/{user_id}/achievements",
        "/api/v1/users/{user_id}/achievements/{slug}/explanation",
        "/api/v1/users/{user_id}/notifications",
        "/api/v1/users/{user_id}/notifications/read",
        "/api/v1/users/{user_id}/progress",
        "/api/v1/users/{user_id}/stream",
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            responses = operation["responses"]
            expected = {"405", "406", "429", "500", "503"}
            if method == "post":
                expected |= {"400", "413", "415", "401", "403"}
            assert expected <= set(responses), (path, method)
            for code, response in responses.items():
                if int(code) >= 400:
                    assert list(response["content"]) == ["application/problem+json"]
            assert operation["security"]


@pytest.mark.usefixtures("catalogue")
@pytest.mark.django_db(transaction=True)
def test_generated_calls_get_described_answers(settings: Any) -> None:
    """Bounded: generated good and bad input for each operation, with the right credential."""
    settings.API_THROTTLE_RATES = dict.fromkeys(settings.API_THROTTLE_RATES)
    schema = schemathesis.openapi.from_wsgi("/api/schema", get_wsgi_application())
    key = create_key("events:write")
    token = issue_token(user_id=USER)
    calls = 0
    results: list[Any] = list(schema.get_all_operations())
    for result in results:
        operation = result.ok()
        if operation.path.endswith("/stream"):
            continue  # under WSGI it answers 501; tests of its own hold it to its shapes
        credential = f"Api-Key {key}" if operation.path.endswith("/events") else f"Bearer {token}"
        calls += _try_operation(operation, credential)
    assert calls >= 10 * EXAMPLES / 2


def _try_operation(operation: Any, credential: str) -> int:
    calls = 0

    @bound(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def try_case(case: Any) -> None:
        nonlocal calls
        calls += 1
        checks = [
            schemathesis.checks.not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_headers_conformance,
        ]
        if "fields" not in case.query:  # which leaves out what is required without it
            checks.append(response_schema_conformance)
        case.call_and_validate(
            headers={"Authorization": credential, "Accept-Encoding": "identity"}, checks=checks
        )

    for mode in schemathesis.GenerationMode:
        cases = operation.as_strategy(generation_mode=mode)
        # Where an operation has no input, none of it can be wrong.
        with suppress(Unsatisfiable):
            given(case=cases)(try_case)()
    return calls


def test_the_docs_page_loads_nothing_from_elsewhere(db: None) -> None:
    response = Client().get("/api/docs")
    assert response.status_code == 200
    html = response.content.decode()
    sources = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert sources
    assert all(source.startswith("/") and not source.startswith("//") for source in sources)
    policy = response["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "script-src" not in policy or "unsafe-inline" not in policy.split("script-src")[1]
    # Scripts only by address: the policy forbids inline ones.
    assert re.findall(r"<script(?![^>]*\bsrc=)", html) == []
