from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Permission, User

from achievements.events import Event, Metrics, encode_event
from achievements.models import Outbox, Publication, ServiceKey, UserProgress
from achievements.rulebooks import publish_rulebook
from profiles.models import Profile

pytestmark = pytest.mark.django_db

OUTBOX = "/admin/achievements/outbox/"
KEYS = "/admin/achievements/servicekey/"
NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def staff(client):
    client.force_login(User.objects.create_superuser("ada", "ada@example.org", "pw"))
    return client


def fail(user_id=1, error="ValueError: <script>alert(1)</script>", event=b'{"<b>": 1}'):
    return Outbox.objects.create(user_id=user_id, event=event, failed_at=NOW, error=error)


def test_the_outbox_lists_failed_rows_alone(staff):
    row = fail()
    Outbox.objects.create(user_id=2, event=b"{}")
    response = staff.get(OUTBOX)
    assert list(response.context["cl"].result_list) == [row]
    assert "<script>alert(1)" not in response.content.decode()
    page = staff.get(f"{OUTBOX}{row.pk}/change/").content.decode()
    assert "{&quot;&lt;b&gt;&quot;: 1}" in page
    assert "_save" not in page


@pytest.mark.parametrize(("query", "count"), [("1", 1), ("3", 0), ("x", 0), ("9" * 40, 0), ("", 1)])
def test_the_outbox_is_searched_by_user_id(staff, query, count):
    fail()
    assert len(staff.get(OUTBOX, {"q": query}).context["cl"].result_list) == count


@pytest.mark.django_db(transaction=True)
def test_a_failed_event_is_tried_again(staff):
    publish_rulebook()
    good = Event(
        user_id=5,
        test_result_id=1,
        event_type="test_completed",
        metrics=Metrics(wpm=50.0),
        occurred_at=NOW,
    )
    row = fail(user_id=5, event=encode_event(good))
    staff.post(OUTBOX, {"action": "retry", "_selected_action": [row.pk]})
    assert not Outbox.objects.exists()
    assert UserProgress.objects.filter(user_id=5).exists()


def test_a_reader_cannot_retry(client):
    user = User.objects.create_user("grace", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_outbox"))
    client.force_login(user)
    row = fail()
    assert client.get(OUTBOX).status_code == 200
    client.post(OUTBOX, {"action": "retry", "_selected_action": [row.pk]})
    row.refresh_from_db()
    assert row.failed_at is not None


def make_key(client, **changes):
    values = {"name": "site", "scopes": ["events:write"], "expiry_date_0": "", "expiry_date_1": ""}
    return client.post(f"{KEYS}add/", {**values, **changes})


def test_a_key_is_shown_once_and_works(staff):
    response = make_key(staff)
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    secret = response.context["secret"]
    assert secret in response.content.decode()
    prefix = ServiceKey.objects.get_from_key(secret).prefix
    key = ServiceKey.objects.get(prefix=prefix)
    assert key.scopes == ["events:write"]
    for page in (KEYS, f"{KEYS}{key.pk}/change/", "/admin/"):
        assert secret not in staff.get(page).content.decode()


@pytest.mark.parametrize("scopes", [[], ["everything"], ["events:write", "admin"]])
def test_scopes_are_checked(staff, scopes):
    assert make_key(staff, scopes=scopes).status_code == 200
    assert not ServiceKey.objects.exists()


def test_a_key_is_revoked_and_never_comes_back(staff):
    make_key(staff)
    key = ServiceKey.objects.get()
    staff.post(KEYS, {"action": "revoke", "_selected_action": [key.pk]})
    key.refresh_from_db()
    assert key.revoked
    assert staff.get(f"{KEYS}{key.pk}/change/").status_code == 200
    assert staff.post(f"{KEYS}{key.pk}/delete/", {"post": "yes"}).status_code == 403


def test_rulebooks_can_be_read_only(staff):
    version = publish_rulebook()
    page = "/admin/achievements/publication/"
    assert staff.get(page).status_code == 200
    assert staff.get(f"{page}{version}/change/").status_code == 200
    assert staff.get(f"{page}add/").status_code == 403
    assert staff.post(f"{page}{version}/delete/", {"post": "yes"}).status_code == 403
    assert Publication.objects.filter(version=version).exists()


def test_profiles_are_found_by_user_id_alone(staff):
    for user_id in (1, 12):
        Profile.objects.create(user_id=user_id, display_name=f"<b>n{user_id}</b>")
    page = "/admin/profiles/profile/"

    def found(query):
        return [p.user_id for p in staff.get(page, {"q": query}).context["cl"].result_list]

    assert found("") == []
    assert found("1") == [1]
    assert found("n1") == []
    assert "<b>n12" not in staff.get(page, {"q": "12"}).content.decode()


def test_the_tables_of_users_have_no_pages(staff):
    for name in ("userprogress", "userachievement", "notification", "seentests", "tally"):
        assert staff.get(f"/admin/achievements/{name}/").status_code == 404
    assert staff.get("/admin/profiles/testresult/").status_code == 404
