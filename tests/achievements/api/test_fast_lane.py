"""The short way answers exactly as the long one."""

from typing import Any

import pytest
from django.http import HttpResponse

from achievements.api.fast_lane import FastLaneMiddleware
from tests.api import USER, Api

pytestmark = pytest.mark.usefixtures("catalogue")
PATHS = ["/achievements", "/achievements/quick", f"/users/{USER}/achievements", "/achievements/no"]


@pytest.mark.parametrize("path", PATHS)
def test_both_ways_give_the_same_answer(api: Api, path: str) -> None:
    api.get(path)
    short = api.get(path)
    # A session, even one that means nothing here, is what takes the long way.
    long = api.get(path, headers={"Cookie": "sessionid=x"})
    assert short.status_code == long.status_code
    assert short.content == long.content
    varying = {"RateLimit-Remaining", "RateLimit-Reset", "Content-Security-Policy", "Vary"}
    assert dict_of(short, varying) == dict_of(long, varying)
    # Who looks at a session says so.
    assert set(long["Vary"].lower().split(", ")) - set(short["Vary"].lower().split(", ")) <= {
        "cookie"
    }
    assert "'none'" in short["Content-Security-Policy"]


def dict_of(response: HttpResponse, left_out: set[str]) -> dict[str, str]:
    return {name: value for name, value in response.items() if name not in left_out}


@pytest.mark.parametrize(
    ("method", "path", "headers", "is_short"),
    [
        ("GET", "/api/v1/achievements", {}, True),
        ("HEAD", "/api/v1/achievements", {}, True),
        ("GET", f"/api/v1/users/{USER}/progress", {"Authorization": "Bearer x"}, True),
        ("GET", "/api/v1/achievements", {"Cookie": "sessionid=x"}, False),
        ("GET", "/api/v1/achievements", {"Cookie": "colour=red"}, True),
        ("GET", "/api/v1/achievements", {"Origin": "https://typing.example.org"}, True),
        ("GET", f"/api/v1/users/summaries?ids={USER}", {}, True),
        ("POST", "/api/v1/achievements", {}, False),
        ("GET", f"/api/v1/users/{USER}/notifications", {}, False),
        ("GET", "/api/v1/nothing", {}, False),
        ("GET", "/", {}, False),
    ],
)
def test_who_takes_it(
    rf: Any, method: str, path: str, headers: dict[str, str], is_short: bool
) -> None:
    def answer_the_long_way(request: Any) -> HttpResponse:
        return HttpResponse("long")

    response = FastLaneMiddleware(answer_the_long_way)(rf.generic(method, path, headers=headers))
    assert (response.getvalue() != b"long") is is_short


def test_a_host_that_is_not_ours_is_refused(api: Api) -> None:
    assert api.get("/achievements", headers={"Host": "evil.example.org"}).status_code == 400
