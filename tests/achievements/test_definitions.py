"""Checking and saving definitions: problems name the node, versions follow the rule."""

import pytest
from django.db import IntegrityError

from achievements.criteria_parser import parse_criteria
from achievements.definitions import MAX_LEVELS, MAX_POINTS, find_problems, save_achievements
from achievements.models import Achievement, Publication, Status
from achievements.rulebooks import get_rulebook
from tests.factories import make_achievement, make_levels, publish

COUNT = {"count": "tests"}
MET = {"count": "tests", "atLeast": 3}
ONE = [{"target": None, "points": 5}]


@pytest.mark.parametrize(
    ("criteria", "levels", "pointers"),
    [
        (MET, ONE, []),
        (COUNT, make_levels(1, 2, 3), []),
        ({"all": [COUNT, {"unlocked": "a"}]}, make_levels(1, 2), []),
        (MET, make_levels(1), ["/levels/0/target"]),
        (MET, ONE * 2, ["/levels/0/target"]),
        (COUNT, ONE, ["/levels/0/target"]),
        (COUNT, make_levels(3, 3), ["/levels/1/target"]),
        (COUNT, make_levels(3, 1), ["/levels/1/target"]),
        (COUNT, make_levels(1.5), ["/levels/0/target"]),
        (COUNT, make_levels(0), ["/levels/0/target"]),
        (COUNT, make_levels(float("nan")), ["/levels/0/target"]),
        ({"all": [COUNT, {"best": "wpm"}]}, make_levels(1), ["/criteria"]),
        (COUNT, [], ["/levels"]),
        (COUNT, None, ["/levels"]),
        (COUNT, make_levels(*range(1, MAX_LEVELS + 2)), ["/levels"]),
        (COUNT, [5], ["/levels/0"]),
        (COUNT, [{"target": 1, "points": 1, "x": 1}], ["/levels/0"]),
        (COUNT, [{"target": 1, "points": MAX_POINTS + 1}], ["/levels/0/points"]),
        (COUNT, [{"target": 1, "points": True}], ["/levels/0/points"]),
        (COUNT, [{"target": 1}], ["/levels/0/points"]),
        ({"count": "lies"}, ONE, ["/criteria/count"]),
        ({"any": [MET, {"best": "mode"}]}, [{}], ["/criteria/any/1/best", "/levels/0/points"]),
        ({"best": "wpm"}, make_levels(60, 500), ["/levels/1/target"]),
    ],
)
def test_problems_point_at_the_node(criteria, levels, pointers) -> None:
    assert [problem.pointer for problem in find_problems(criteria, levels)] == pointers


def count_where(**where):
    return {"count": "tests", "where": where, "atLeast": 1}


@pytest.mark.parametrize(
    ("criteria", "pointer", "words"),
    [
        (count_where(accuracy={"gt": 100}), "where/accuracy/gt", "from 0 to 100, so gt 100"),
        (count_where(wpm={"gte": 5000}), "where/wpm/gte", "from 0 to 420, so gte 5000"),
        (count_where(wpm={"lt": 0}), "where/wpm/lt", "lt 0"),
        (count_where(durationSeconds={"lte": 0}), "where/durationSeconds/lte", "above 0"),
        (count_where(length={"eq": 15.5}), "where/length/eq", "a whole number"),
        (count_where(length={"gt": 15, "lt": 16}), "where/length", "gt 15 and lt 16"),
        (count_where(wpm={"gt": 100, "lt": 50}), "where/wpm", "gt 100 and lt 50"),
        (count_where(wpm={"eq": 50, "gte": 60}), "where/wpm", "eq 50 and gte 60"),
        (count_where(wpm={"gt": 50, "lte": 50}), "where/wpm", "gt 50 and lte 50"),
        (count_where(mode={"eq": "zen", "in": ["time"]}), "where/mode", "all of these lists"),
        ({"best": "wpm", "where": {"wpm": {"lt": 50}}, "atLeast": 50}, "atLeast", "below 50"),
        (
            {"distinct": "mode", "where": {"mode": {"in": ["a", "b"]}}, "atLeast": 3},
            *("atLeast", "2 through at most"),
        ),
    ],
)
def test_what_can_never_be_met_is_refused_by_its_bound(criteria, pointer, words) -> None:
    (problem,) = find_problems(criteria, ONE)
    assert (problem.pointer, problem.code) == (f"/criteria/{pointer}", "never_met")
    assert words in problem.detail
    parse_criteria(criteria)  # what was published before stays readable


def test_levels_are_held_to_what_where_lets_through() -> None:
    criteria = {"best": "wpm", "where": {"wpm": {"lt": 100}}}
    problems = find_problems(criteria, make_levels(50, 100))
    assert [problem.pointer for problem in problems] == ["/levels/1/target"]


@pytest.mark.parametrize(
    "criteria",
    [
        count_where(wpm={"gte": 0, "gt": -5, "lte": 420, "lt": 10**12}),
        count_where(durationSeconds={"gt": 0, "lte": 0.5}),
        count_where(length={"gt": 14, "lt": 16}),
        count_where(accuracy={"eq": 100}),
        {"best": "wpm", "where": {"wpm": {"lte": 50}}, "atLeast": 50},
        {"best": "length", "where": {"length": {"lt": 50.5}}, "atLeast": 50},
    ],
)
def test_what_can_just_be_met_is_not_refused(criteria) -> None:
    assert find_problems(criteria, ONE) == []


def test_the_longest_rule_can_be_kept(db) -> None:
    languages = [f"{n:03}-{'ü' * 36}" for n in range(64)]
    criteria = {"count": "tests", "where": {"language": {"in": languages}}, "atLeast": 1}
    assert find_problems(criteria, ONE) == []
    make_achievement("long", criteria)
    publish()
    assert len(get_rulebook().rules) == 1


def test_only_a_changed_rule_is_a_new_version(db) -> None:
    first = make_achievement("first", COUNT, 1)
    publish()
    first.name = "Renamed"
    version = save_achievements([first])
    first.refresh_from_db()
    assert (first.version, first.name, version) == (1, "Renamed", get_rulebook().version)
    first.levels = make_levels(2)
    save_achievements([first])
    first.refresh_from_db()
    assert first.version == 2
    assert [h.version for h in first.history.order_by("history_id")][-1] == 2


def test_a_draft_and_what_nobody_changed_publish_nothing(db) -> None:
    live = make_achievement("live", COUNT, 1)
    version = publish()
    draft = make_achievement("draft", COUNT, 1, status=Status.DRAFT)
    assert save_achievements([draft, live]) == version
    draft.levels = make_levels(2)
    assert save_achievements([draft]) == version
    assert Publication.objects.latest("version").version == version
    assert draft.version == 2


@pytest.mark.parametrize(
    ("before", "changes"),
    [
        (Status.LIVE, {"name": "Renamed"}),
        (Status.RETIRED, {"icon": "bolt"}),
        (Status.LIVE, {"hidden": ["title"]}),
        (Status.LIVE, {"levels": make_levels(2)}),
        (Status.LIVE, {"status": Status.DRAFT}),
        (Status.DRAFT, {"status": Status.LIVE}),
    ],
)
def test_what_others_see_is_published(db, before, changes) -> None:
    achievement = make_achievement("first", COUNT, 1, status=before)
    version = publish()
    for name, value in changes.items():
        setattr(achievement, name, value)
    assert save_achievements([achievement]) > version


def test_a_new_live_definition_is_published_and_a_new_draft_is_not(db) -> None:
    def make_new(slug, status):
        return Achievement(slug=slug, criteria=MET, levels=ONE, status=status)

    before = get_rulebook().version
    assert save_achievements([make_new("draft", Status.DRAFT)]) == before
    assert save_achievements([make_new("live", Status.LIVE)]) > before


def test_saving_is_all_or_nothing(db) -> None:
    good, twice = (Achievement(slug="x", criteria=MET, levels=ONE) for _ in range(2))
    before = get_rulebook().version
    with pytest.raises(IntegrityError):
        save_achievements([good, twice])
    assert not Achievement.objects.exists()
    assert get_rulebook().version == before
