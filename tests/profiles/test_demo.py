"""Demo typists: a plausible past, unlocked, and seeded once."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from achievements.models import Notification, UserAchievement, UserProgress
from profiles.demo import TYPISTS
from profiles.models import Profile, TestResult

pytestmark = pytest.mark.django_db(transaction=True)


def seed() -> str:
    out = StringIO()
    call_command("seed_demo", stdout=out)
    return out.getvalue()


def test_typists_are_seeded_once_with_what_they_earned(settings) -> None:
    settings.DEBUG = True
    call_command("load_achievements", stdout=StringIO())
    said = seed()
    tests = TestResult.objects.count()
    assert said.startswith(f"{len(TYPISTS)} typists, {tests} tests, ")
    assert Profile.objects.count() == UserProgress.objects.count() == len(TYPISTS)
    held = UserAchievement.objects.filter(revoked_at=None).count()
    assert held > 5 * len(TYPISTS)
    assert not Notification.objects.exists()
    assert seed() == "The demo typists are there already.\n"
    assert TestResult.objects.count() == tests


def test_a_seeding_that_was_stopped_goes_on(settings, monkeypatch) -> None:
    """Stopped after a typist's tests and profile, but before what they earned."""
    settings.DEBUG = True
    monkeypatch.setattr("profiles.demo.TYPISTS", TYPISTS[:3])
    monkeypatch.setattr("profiles.demo.DAYS", 10)
    call_command("load_achievements", stdout=StringIO())

    def stop(user_id: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr("profiles.demo.rebuild_user", stop)
        with pytest.raises(KeyboardInterrupt):
            seed()
    seed()
    assert UserProgress.objects.count() == 3


def test_demo_data_is_for_development(settings) -> None:
    settings.DEBUG = False
    with pytest.raises(CommandError, match="development"):
        seed()
