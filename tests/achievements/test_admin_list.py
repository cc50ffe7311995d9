import json

import pytest
from django.contrib.auth.models import User

from achievements.admin.holders import count_holders
from achievements.models import Status, Tally
from achievements.tables import USERS_TALLY
from tests.achievements.admin_pages import (
    ADD,
    LIST,
    address,
    form_of,
    make,
    sign_in,
    text_of,
)

pytestmark = pytest.mark.django_db
PAYLOAD = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.fixture
def staff(client):
    client.force_login(User.objects.create_superuser("ada", "ada@example.org", "pw"))
    return client


def test_it_counts_the_holders_of_a_page_in_one_query(staff, django_assert_max_num_queries):
    for number in range(30):
        achievement = make(f"a{number}", name=f"A {number}")
        Tally.objects.create(achievement_id=achievement.pk, level=1, slot=3, holders=number)
        Tally.objects.create(achievement_id=achievement.pk, level=1, slot=4, holders=1)
        Tally.objects.create(achievement_id=achievement.pk, level=2, slot=3, holders=7)
    Tally.objects.create(achievement_id=USERS_TALLY[0], level=USERS_TALLY[1], slot=0, holders=300)
    with django_assert_max_num_queries(10):
        page = text_of(staff.get(LIST))
    assert "30 (10%)" in page
    assert str(count_holders([achievement.pk])[achievement.pk]) == "30 (10%)"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=swift", {"swift"}),
        ("q=durationSeconds", {"marathon"}),
        ("status__exact=draft", {"marathon"}),
        ("category=endurance", {"marathon"}),
        ("hidden=yes", {"marathon"}),
        ("hidden=no", {"swift"}),
        ("o=-1", {"swift", "marathon"}),
        ("q=%25_%27", set()),
    ],
)
def test_it_finds_and_filters(staff, query, found):
    make()
    make(
        "marathon",
        name="Marathon",
        category="endurance",
        criteria={"sum": "durationSeconds", "atLeast": 3600},
        hidden=["title"],
        status=Status.DRAFT,
    )
    response = staff.get(f"{LIST}?{query}")
    assert response.status_code == 200
    assert {achievement.slug for achievement in response.context["cl"].result_list} == found


def test_a_reader_reads_and_changes_nothing(client):
    achievement = make()
    reader = sign_in(client, "view_achievement")
    page = text_of(reader.get(address(achievement)))
    assert "Reach 60 wpm." in page
    assert "_save" not in page
    assert reader.get(LIST).status_code == 200
    assert reader.post(address(achievement), form_of(name="Mine")).status_code == 403
    assert reader.get(ADD).status_code == 403
    assert reader.post(f"{LIST}status/retire/", {"id": achievement.pk}).status_code == 403
    reader.post(LIST, {"action": "retire", "_selected_action": [achievement.pk]})
    achievement.refresh_from_db()
    assert (achievement.name, achievement.status) == ("Swift", Status.LIVE)


def test_strangers_are_asked_to_sign_in(client):
    for page in (LIST, ADD, f"{LIST}status/retire/?id=1", "/admin/user-lookup/?user=1"):
        response = client.get(page)
        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/")


def test_texts_are_escaped_everywhere(staff):
    texts = {"name": PAYLOAD, "locked_description": PAYLOAD, "unlocked_description": PAYLOAD}
    achievement = make(**texts, category="x", icon=PAYLOAD[:60])
    criteria = json.dumps({"unlocked": PAYLOAD})
    pages = [
        staff.get(LIST),
        staff.get(address(achievement)),
        staff.get(address(achievement, "history")),
        staff.get(f"{LIST}status/retire/?id={achievement.pk}"),
        staff.post(address(achievement), form_of(name=PAYLOAD, criteria=criteria), follow=True),
        staff.post(address(achievement, "delete"), {"post": "yes"}, follow=True),
        staff.get("/admin/"),
    ]
    for page in pages:
        assert page.status_code == 200
        assert "<script>alert(1)" not in text_of(page)
        assert "<img src=x" not in text_of(page)
