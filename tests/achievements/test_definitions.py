"""Checking and saving definitions: problems name the node, versions follow the rule."""

import pytest
from django.db import IntegrityError

from achievements.definitions import MAX_LEVELS, MAX_POINTS, find_problems, save_achievements
from achievements.models import Achievement
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


def test_the_longest_rule_can_be_kept(db) -> None:
    languages = [f"{n:03}-{'ü' * 36}" for n in range(64)]
    criteria = {"count": "tests", "where": {"language": {"in": languages}}, "atLeast": 1}
    assert find_problems(criteria, ONE) == []
    save_achievements([make_achievement("long", criteria)])
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


def test_saving_is_all_or_nothing(db) -> None:
    good, twice = (Achievement(slug="x", criteria=MET, levels=ONE) for _ in range(2))
    before = get_rulebook().version
    with pytest.raises(IntegrityError):
        save_achievements([good, twice])
    assert not Achievement.objects.exists()
    assert get_rulebook().version == before
