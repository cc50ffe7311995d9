"""A database that is read-only or away: refused plainly, nothing lost, nothing set aside."""

import os

import pytest
from django.db import DatabaseError, connection, transaction

from achievements.engine import process_events
from achievements.models import Outbox, UserProgress
from achievements.outbox import accept_events, drain_outbox
from achievements.selectors import read_user_achievements
from achievements.store import StepWriter
from config.environment import read_database
from profiles.models import TestResult
from profiles.services import save_test_result
from tests.factories import make_broad_catalogue, make_event, new_user
from tests.invariants import check_invariants

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def admin():
    """A connection that may change the server's variables."""
    import MySQLdb

    values = read_database("DATABASE_ADMIN_URL", "", base_dir=None)  # type: ignore[arg-type]
    assert os.environ["DATABASE_ADMIN_URL"]
    server = MySQLdb.connect(
        host=values["HOST"],
        port=int(values["PORT"]),
        user=values["USER"],
        password=values["PASSWORD"],
    )
    cursor = server.cursor()
    yield cursor
    cursor.execute("SET GLOBAL read_only = 0")
    server.close()


def test_read_only_refuses_events_and_loses_none(admin) -> None:
    make_broad_catalogue()
    user = new_user()
    first, second = make_event(user, 1, wpm=65.0), make_event(user, 2, wpm=95.0)
    accept_events([first])
    Outbox.objects.create(user_id=user, event=b"")  # waits; nobody may set it aside now
    admin.execute("SET GLOBAL read_only = 1")
    for attempt in (
        lambda: accept_events([second]),
        lambda: process_events([second]),
        lambda: save_test_result(user_id=user, wpm=95.0, accuracy=90.0, duration_seconds=15.0),
        drain_outbox,
    ):
        with pytest.raises(DatabaseError, match="read-only"):
            attempt()
    assert read_user_achievements(user_id=user)["unlockedCount"] == 2
    assert Outbox.objects.filter(failed_at=None).count() == 1
    admin.execute("SET GLOBAL read_only = 0")
    Outbox.objects.all().delete()
    assert not TestResult.objects.exists()
    accept_events([second])
    check_invariants([first, second])


def test_a_connection_that_is_killed_in_the_batch_leaves_all_or_nothing(admin, monkeypatch) -> None:
    make_broad_catalogue()
    event = make_event(new_user(), 1)
    real = StepWriter.write

    def write_and_die(*arguments, **options):
        result = real(*arguments, **options)
        with connection.cursor() as cursor:
            cursor.execute("SELECT CONNECTION_ID()")
            admin.execute(f"KILL {cursor.fetchone()[0]}")
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return result

    monkeypatch.setattr(StepWriter, "write", write_and_die)
    accept_events([event])  # inline: logged, and left to the next one
    connection.close()
    assert Outbox.objects.filter(failed_at=None).count() == 1
    assert not UserProgress.objects.exists()
    monkeypatch.setattr(StepWriter, "write", real)
    with transaction.atomic():  # its row is free when the server has rolled it back
        assert len(Outbox.objects.select_for_update()) == 1
    drain_outbox()
    check_invariants([event])
