"""Failpoints: off by default, and what FAILPOINT says."""

import os
import subprocess
import sys

import pytest

from achievements import failpoints
from achievements.failpoints import Fault, InjectedFault, parse_failpoints, reach
from config.checks import check_failpoints


def test_nothing_is_armed_by_default() -> None:
    assert failpoints.armed == {}
    reach("before_commit")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("before_commit:kill", {"before_commit": Fault("kill")}),
        ("apply_user@12345:raise", {"apply_user": Fault("raise", None, 12345)}),
        ("a:sleep 0.5, b:kill 0.1", {"a": Fault("sleep", 0.5), "b": Fault("kill", 0.1)}),
    ],
)
def test_failpoints_are_read(text: str, expected: dict[str, Fault]) -> None:
    assert parse_failpoints(text) == expected


@pytest.mark.parametrize("text", ["kill", "a:explode", "a:sleep soon", "a@me:raise"])
def test_a_typing_error_is_not_ignored(text: str) -> None:
    with pytest.raises(ValueError, match=r"FAILPOINT|could not|invalid literal"):
        parse_failpoints(text)


def test_raise_concerns_one_user(monkeypatch) -> None:
    monkeypatch.setattr(failpoints, "armed", parse_failpoints("apply_user@5:raise,never:raise 0"))
    reach("apply_user", user_id=4)
    reach("never")
    with pytest.raises(InjectedFault, match="user 5"):
        reach("apply_user", user_id=5)


def test_kill_kills() -> None:
    code = "from achievements.failpoints import reach; reach('here'); print('alive')"
    environment = {**os.environ, "FAILPOINT": "here:kill"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert (done.returncode, done.stdout) == (-9, b"")


def test_a_check_refuses_them_in_production(settings, monkeypatch) -> None:
    monkeypatch.setattr(failpoints, "armed", parse_failpoints("before_commit:kill"))
    assert check_failpoints(None) == []
    settings.IS_PRODUCTION = True
    [error] = check_failpoints(None)
    assert error.id == "laurel.E010"
    assert "before_commit" in error.msg
