"""A test that is sent again with its key is one test, whatever happened to the first answer."""

import json
import threading
from typing import Any

import pytest
from django.db import OperationalError, connection, connections

from profiles.models import RecentSubmissions, TestResult
from profiles.services import save_test_result
from profiles.submissions import MOST_KEYS, submit_once
from tests.api import OTHER, TEST_RESULT, USER, Api, read_problem
from tests.factories import new_user


def send(api: Api, key: str, user: int = USER, **changes: Any) -> Any:
    response = api.post(
        "/test-results",
        {**TEST_RESULT, **changes},
        user=user,
        headers={"Idempotency-Key": key},
    )
    assert response.status_code == 201, response.content
    return response


pytestmark = pytest.mark.usefixtures("catalogue")


def test_sent_again_it_is_the_same_test(api: Api) -> None:
    first = send(api, "b0a7")
    again = send(api, "b0a7", colour="red")  # an unknown field is nothing
    assert again.content == first.content
    assert again["Location"] == first["Location"]
    assert "Idempotency-Replayed" not in first
    assert again["Idempotency-Replayed"] == "true"
    assert [result.wpm for result in TestResult.objects.all()] == [TEST_RESULT["wpm"]]
    profile = json.loads(api.get(f"/users/{USER}/progress").content)
    counted = {one["slug"]: one["current"] for one in profile["achievements"]}
    assert counted["typist"] == 1


def test_another_body_under_a_known_key_is_refused(api: Api) -> None:
    send(api, "b0a7")
    response = api.post(
        "/test-results",
        {**TEST_RESULT, "wpm": 99},
        user=USER,
        headers={"Idempotency-Key": "b0a7"},
    )
    problem = read_problem(response, 422)
    assert [one["pointer"] for one in problem["errors"]] == ["/Idempotency-Key"]
    assert TestResult.objects.count() == 1


def test_another_key_or_user_is_another_test(api: Api) -> None:
    answers = {send(api, "one").content, send(api, "two").content}
    answers.add(send(api, "one", user=OTHER).content)
    assert len(answers) == 3
    assert TestResult.objects.count() == 3


def test_the_newest_keys_are_remembered(api: Api) -> None:
    first = [send(api, str(number)).content for number in range(MOST_KEYS + 1)]
    assert send(api, str(MOST_KEYS)).content == first[-1]
    assert send(api, "1").content == first[1]
    assert send(api, "0").content != first[0]
    assert len(RecentSubmissions.objects.get(user_id=USER).packed) == MOST_KEYS * 24


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "\xe9"])
def test_a_key_out_of_bounds_is_named(api: Api, key: str) -> None:
    response = api.post("/test-results", TEST_RESULT, user=USER, headers={"Idempotency-Key": key})
    problem = read_problem(response, 400)
    assert [one["pointer"] for one in problem["errors"]] == ["/Idempotency-Key"]
    assert "255" in problem["errors"][0]["detail"]
    assert not TestResult.objects.exists()


def test_what_was_not_saved_can_be_sent_again(api: Api) -> None:
    def refuse_tests(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("INSERT") and "test_results" in sql:
            raise OperationalError(1290, "The MariaDB server is running with read-only")
        return execute(sql, params, many, context)

    headers = {"Idempotency-Key": "b0a7"}
    with connection.execute_wrapper(refuse_tests):
        read_problem(api.post("/test-results", TEST_RESULT, user=USER, headers=headers), 503)
    assert "Idempotency-Replayed" not in send(api, "b0a7")
    assert TestResult.objects.count() == 1


@pytest.mark.real
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_first", [True, False], ids=["first test", "later test"])
def test_of_many_at_once_one_is_saved(is_first: bool) -> None:
    user = new_user()

    def save() -> int:
        return save_test_result(user_id=user, wpm=60, accuracy=95, duration_seconds=30).id

    if not is_first:
        submit_once(user_id=user, key="before", sent=b"{}", save=save)
    barrier = threading.Barrier(8)
    found: list[int] = []

    def submit() -> None:
        barrier.wait(10)
        found.append(submit_once(user_id=user, key="one", sent=b"{}", save=save).test_result_id)
        connections.close_all()

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 8
    assert len(set(found)) == 1
    assert TestResult.objects.filter(user_id=user).count() == (1 if is_first else 2)
