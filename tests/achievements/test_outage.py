"""Documents while the cache is away: built once for all who ask, and not given for long."""

import threading
import time

import pytest

from achievements import outage
from achievements.outage import Shelter


def test_of_many_who_ask_one_builds() -> None:
    shelter, builds, found = Shelter[int](), [], list[int]()

    def build() -> int:
        builds.append(1)
        time.sleep(0.1)
        return 7

    threads = [
        threading.Thread(target=lambda: found.append(shelter.get("name", build))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [7] * 8
    assert len(builds) == 1


def test_names_do_not_wait_for_each_other() -> None:
    shelter = Shelter[str]()
    assert shelter.get("a", lambda: shelter.get("b", lambda: "inner")) == "inner"


def test_what_is_kept_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    shelter = Shelter[int]()
    assert [shelter.get("name", lambda n=n: n) for n in range(3)] == [0, 0, 0]  # type: ignore[misc]
    later = time.monotonic() + 6
    monkeypatch.setattr("achievements.outage.time.monotonic", lambda: later)
    assert shelter.get("name", lambda: 9) == 9


def test_a_failure_is_not_kept() -> None:
    shelter = Shelter[int]()

    def fail() -> int:
        raise LookupError

    with pytest.raises(LookupError):
        shelter.get("name", fail)
    assert shelter.get("name", lambda: 5) == 5


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "MOST_NAMES", 10)
    shelter = Shelter[int]()
    for number in range(100):
        assert shelter.get(str(number), lambda n=number: n) == number  # type: ignore[misc]
    assert len(shelter._kept) == 10
