import time

from achievements.absence import Absence
from achievements.replication import find_fault


def test_of_those_who_meet_an_absence_one_tries_after_each_pause() -> None:
    absence = Absence(first_seconds=60, longest_seconds=60)
    began = time.monotonic()
    assert absence.may_ask()
    assert absence.begin(asked_at=began)
    assert not absence.begin(asked_at=began)  # it was on its way already
    assert absence
    assert not absence.may_ask()
    absence._until = time.monotonic()
    assert [absence.may_ask() for _ in range(3)] == [True, False, False]
    assert not absence.end(asked_at=began)  # an answer from before the failure
    assert absence.end(asked_at=time.monotonic())
    assert not absence
    assert absence.may_ask()


def test_pauses_grow_up_to_the_longest() -> None:
    absence = Absence(first_seconds=1, longest_seconds=30)
    pauses = []
    for _ in range(8):
        absence.begin(asked_at=time.monotonic())
        pauses.append(absence._until - absence._failed_at)
    for pause, wanted in zip(pauses, [1, 2, 4, 8, 16, 30, 30, 30], strict=True):
        assert 0.7 * wanted < pause <= wanted + 0.001


def test_what_a_replica_says_of_itself() -> None:
    good = {"Slave_SQL_Running": "Yes", "Slave_IO_Running": "Yes", "Seconds_Behind_Master": 5}
    newer = {"Replica_SQL_Running": "Yes", "Replica_IO_Running": "Yes"}
    for row, fault in (
        (good, None),
        (newer | {"Seconds_Behind_Source": 6}, "6 s behind"),
        (good | {"Slave_SQL_Running": "No"}, "applies nothing"),
        (good | {"Slave_IO_Running": "Connecting"}, "receives nothing"),
    ):
        assert find_fault(row, max_lag_seconds=5) == fault
