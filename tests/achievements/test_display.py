"""How definitions look: opaque names that say nothing, and a catalogue kept per rulebook."""

import pytest

from achievements.display import get_catalogue, make_opaque_slug
from tests.factories import make_achievement, publish

pytestmark = pytest.mark.django_db


def test_an_opaque_slug_needs_the_secret_key(settings) -> None:
    first = make_opaque_slug("warrior")
    assert first == make_opaque_slug("warrior")
    assert first != make_opaque_slug("warriors")
    settings.SECRET_KEY = "another secret key of forty characters.."
    assert make_opaque_slug("warrior") != first


def test_a_masked_one_is_found_by_its_mask_alone() -> None:
    make_achievement("open", {"count": "tests", "atLeast": 1})
    make_achievement("warrior", {"count": "tests", "atLeast": 1}, hidden=["title"])
    publish()
    catalogue = get_catalogue()
    assert catalogue.find_shown("warrior") is None
    shown = catalogue.find_shown(make_opaque_slug("warrior"))
    assert shown is not None
    assert shown.achievement.slug == "warrior"
    assert catalogue.find_shown(make_opaque_slug("open")) is None
    assert catalogue.find("nothing") is None
    assert shown.slug_for(held=1) == "warrior"


def test_the_catalogue_follows_the_publication(django_assert_num_queries) -> None:
    first = make_achievement("first", {"count": "tests"}, 1, 2)
    publish()
    catalogue = get_catalogue()
    with django_assert_num_queries(0):
        assert get_catalogue() is catalogue
    first.name = "Renamed"
    first.sort_order = 5
    first.save()
    make_achievement("zero", {"count": "tests", "atLeast": 1}, sort_order=1)
    publish()
    assert [d.achievement.name for d in get_catalogue().displays] == ["Zero", "Renamed"]
    assert get_catalogue().by_slug["first"].sum_points(2) == 30
    assert get_catalogue().count_live() == 2


def test_a_collection_does_not_name_what_is_not_published() -> None:
    make_achievement("coming-soon", {"count": "tests", "atLeast": 1}, status="draft")
    make_achievement("all", {"unlocked": "coming-soon"})
    publish()
    catalogue = get_catalogue()
    entry = catalogue.describe(catalogue.by_slug["all"])
    assert "coming-soon" not in entry["levels"][0]["sentence"]
