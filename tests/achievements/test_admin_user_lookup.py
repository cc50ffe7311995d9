from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from achievements.definitions import save_achievements
from achievements.engine import process_events
from achievements.events import TEST_INVALIDATED, Event, Metrics
from achievements.models import Achievement, Notification, Outbox, Status, UserAchievement

pytestmark = pytest.mark.django_db

PAGE = "/admin/user-lookup/"
NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
USER_TABLES = ("user_progress", "user_achievements", "notifications", "test_results", "outbox")


@pytest.fixture
def support(client):
    user = User.objects.create_user("grace", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_userprogress"))
    client.force_login(user)
    return client


def publish(slug="swift", name="Swift", **changes):
    achievement = Achievement(
        **{
            "slug": slug,
            "name": name,
            "locked_description": "Do it.",
            "unlocked_description": "Done.",
            "category": "speed",
            "icon": "bolt",
            "criteria": {"best": "wpm"},
            "levels": [{"target": 60, "points": 10}, {"target": 100, "points": 20}],
            "status": Status.LIVE,
            **changes,
        }
    )
    save_achievements([achievement])
    return achievement


def finish(user_id, test_id, wpm, event_type="test_completed"):
    at = NOW + timedelta(minutes=test_id)
    process_events(
        [
            Event(
                user_id=user_id,
                test_result_id=test_id,
                event_type=event_type,
                metrics=Metrics(wpm=wpm, accuracy=99.0),
                occurred_at=at,
            )
        ]
    )


def look_up(client, text):
    response = client.get(PAGE, {"user": text})
    return response, response.content.decode()


def test_it_shows_points_unlocks_with_evidence_and_progress(support):
    publish()
    finish(12345, 77, 85.5)
    response, page = look_up(support, "12345")
    assert response.status_code == 200
    report = response.context["report"]
    assert report.progress.points == 10
    assert [(h.row.level, h.row.test_result_id) for h in report.unlocks] == [(1, 77)]
    standing = report.standings[0]
    assert (standing.held, standing.found.current, standing.found.target) == (1, 85.5, 100)
    assert "Reach 100 wpm." in page
    assert len(report.notifications) == 1


def test_it_shows_what_was_revoked_and_why(support):
    achievement = publish()
    finish(12345, 1, 70)
    UserAchievement.objects.filter(user_id=12345, achievement_id=achievement.pk).update(
        revoked_at=NOW, revoked_reason="the test that earned it was invalidated"
    )
    _, page = look_up(support, "12345")
    assert "revoked 2026-11-01" in page
    assert "the test that earned it was invalidated" in page


def test_it_shows_events_that_wait_or_failed(support):
    Outbox.objects.create(user_id=7, event=b"{}")
    Outbox.objects.create(user_id=7, event=b"{}", failed_at=NOW, error="ValueError: <b>odd</b>")
    Outbox.objects.create(user_id=8, event=b"{}", failed_at=NOW, error="of another user")
    _, page = look_up(support, "7")
    assert "ValueError: &lt;b&gt;odd&lt;/b&gt;" in page
    assert "of another user" not in page


def test_it_shows_tests_of_the_history_and_what_was_invalidated(support, monkeypatch):
    class History:
        def read_tests(self, user_ids):
            at = NOW
            completed = Event(
                user_id=9,
                test_result_id=1,
                event_type="test_completed",
                metrics=Metrics(wpm=50, mode="<script>alert(1)</script>"),
                occurred_at=at,
            )
            taken_back = Event(
                user_id=9, test_result_id=2, event_type=TEST_INVALIDATED, occurred_at=at
            )
            return {9: [completed, taken_back]}

    monkeypatch.setattr("achievements.admin.user_report.get_history", History)
    response, page = look_up(support, "9")
    assert [t.test_result_id for t in response.context["report"].tests] == [2, 1]
    assert response.context["report"].test_count == 1
    assert "<script>alert(1)" not in page


def test_names_are_escaped(support):
    publish(name="<script>alert(1)</script>")
    finish(12345, 1, 70)
    _, page = look_up(support, "12345")
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize(
    ("text", "status"),
    [
        *(("999", 404), ("-1", 400), ("0", 400), ("1 OR 1=1", 400), (str(2**63), 400)),
        *(("<script>alert(1)</script>", 400), ("", 200)),
    ],
)
def test_it_says_when_there_is_nobody(support, text, status):
    response, page = look_up(support, text)
    assert response.status_code == status
    assert "<script>alert(1)" not in page


def test_every_query_on_a_table_of_users_names_one_user(support):
    for number in range(5):
        publish(f"a{number}", criteria={"best": "wpm"})
    finish(12345, 1, 120)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        look_up(support, "12345")
    asked = [
        q["sql"]
        for q in captured
        if any(f"FROM `{t}`" in q["sql"].replace('"', "`") for t in USER_TABLES)
    ]
    assert len(asked) == len(USER_TABLES)
    assert all("12345" in sql and "user_id" in sql for sql in asked)
    assert len(captured) <= 14
    assert Notification.objects.filter(user_id=12345).count() == 10


def test_it_needs_its_permission(client):
    user = User.objects.create_user("linus", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_achievement"))
    client.force_login(user)
    assert client.get(PAGE).status_code == 403
    assert "User look-up" not in client.get("/admin/").content.decode()
