"""Dead letters go back to their topic when their cause is mended, chosen by reason or place."""

import pytest
from django.core.management import CommandError, call_command

from achievements import failpoints
from achievements.failpoints import parse_failpoints
from achievements.producer import Record
from achievements.topics import DEAD_LETTERS_TOPIC, EVENTS_TOPIC
from tests.factories import make_broad_catalogue, make_event, new_user
from tests.faults.fleet import (
    drain,
    new_group,
    publish,
    publish_records,
    read_dead_letters,
    read_topic,
)
from tests.invariants import check_invariants

pytestmark = [pytest.mark.kafka, pytest.mark.django_db(transaction=True)]


def run_command(capsys, *arguments: str) -> str:
    call_command("replay_dead_letters", *arguments)
    return str(capsys.readouterr().out)


def test_letters_are_applied_when_their_cause_is_mended(kafka, capsys, monkeypatch) -> None:
    make_broad_catalogue()
    sick, group = new_user(), new_group()
    events = [make_event(sick, n, wpm=61.0 + n) for n in range(1, 6)]
    others = [make_event(new_user(), n) for n in range(1, 31)]
    monkeypatch.setattr(failpoints, "armed", parse_failpoints(f"apply_user@{sick}:raise"))
    publish([*events, *others])
    publish_records([Record(EVENTS_TOPIC, b"bad", b"{", [("traceparent", b"00-1")])])
    publish([b"x" * 40_000])
    drain(group)
    monkeypatch.setattr(failpoints, "armed", {})
    letters = read_dead_letters()
    assert len(letters) == 7

    output = run_command(capsys, "--dry-run")
    assert "7 match, 0 sent, 1 cut short and left (dry run)." in output
    assert f"5  InjectedFault: apply_user for user {sick}" in output
    assert len(read_topic()) == 37

    output = run_command(capsys, "--reason=^InjectedFault")
    assert "5 match, 5 sent, 0 cut short" in output
    drain(group)
    check_invariants([*events, *others])

    run_command(capsys, "--reason=^InjectedFault")  # again: the engine knows them
    drain(group)
    check_invariants([*events, *others])

    before = len(read_topic())
    place = next(letter["dlq.partition"] for letter in letters if letter["value"] == b"{")
    output = run_command(capsys, f"--partition={place}", "--reason=JSON")
    assert "1 match, 1 sent" in output
    back = [m for m in read_topic() if m.value() == b"{"]
    assert len(read_topic()) == before + 1
    # As it was: its own headers, and nothing of the story.
    assert [(m.key(), m.headers()) for m in back] == [(b"bad", [("traceparent", b"00-1")])] * 2
    drain(group)  # a letter once more
    assert len(read_dead_letters()) == 8

    assert "0 match" in run_command(capsys, "--since=2200-01-01T00:00:00Z")
    assert "8 match" in run_command(capsys, "--since=2026-01-01", "--dry-run")


def test_many_letters_are_sent_in_batches(kafka, capsys) -> None:
    event = make_event(new_user(), 1)
    publish_records(
        Record(DEAD_LETTERS_TOPIC, b"%d" % n, b'{"n":%d}' % n, [("dlq.reason", "late")])
        for n in range(1_200)
    )
    publish([event])
    assert "1200 match, 1200 sent" in run_command(capsys)
    assert len(read_topic()) == 1_201


def test_no_letters_are_no_failure(kafka, capsys) -> None:
    assert "0 match, 0 sent" in run_command(capsys)


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [("--reason=(", "not a pattern"), ("--since=soon", "takes a time"),
     ("--since=2026-13-45", "takes a time")],
)  # fmt: skip
def test_a_filter_that_cannot_be_read_is_refused(kafka, argument: str, sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        call_command("replay_dead_letters", argument)
