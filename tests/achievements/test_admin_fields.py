import json
import re

import pytest
import yaml
from django.conf import settings
from django.core.exceptions import ValidationError

from achievements.admin.criteria_text import format_tree, read_criteria
from achievements.admin.definition_check import check_draft, describe_problem
from achievements.admin.definition_fields import LevelsField
from achievements.admin.user_id import read_user_id

LEAF = {"best": "wpm", "atLeast": 60}
POINTS = [{"target": None, "points": 5}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("{", "line 1, column 2", id="broken"),
        pytest.param('{"count": "tests",\n "atLeast": ]', "line 2", id="line"),
        pytest.param('{"atLeast": NaN}', "NaN is not a number", id="nan"),
        pytest.param('{"atLeast": Infinity}', "Infinity is not a number", id="infinity"),
        pytest.param('{"sum": 1, "sum": 2}', "'sum' is given twice", id="twice"),
        pytest.param("[" * 20_000, "deep", id="deep"),
        pytest.param('{"atLeast": %s}' % ("9" * 5000), "too many digits", id="huge-number"),
        pytest.param('{"count": tests', "Not JSON: Expecting value", id="JSON, not YAML"),
        pytest.param("{count: tests, where}}", "(line 1, column 22)", id="YAML"),
        pytest.param("count: tests\n  last: 1", "line 2", id="YAML on lines"),
        pytest.param("{sum: wpm, sum: wpm}", "'sum' is given twice", id="YAML twice"),
        pytest.param("a: &a [x]\nb: *a", "References", id="YAML alias"),
        pytest.param("{? [a] : b}", "unhashable key", id="YAML key"),
        pytest.param("{a: !!python/object:os.system x}", "could not determine", id="YAML object"),
        pytest.param("{a: 2026-13-01}", "month must be", id="YAML date"),
        pytest.param("{all: [" * 3000, "deep", id="YAML deep"),
        pytest.param("\x07", "Not JSON", id="no text"),
        pytest.param('"' + "x" * 40_000 + '"', "at most 32000", id="large"),
    ],
)
def test_it_says_where_the_text_breaks(text, said):
    with pytest.raises(ValidationError) as caught:
        read_criteria(text)
    assert said in caught.value.messages[0]


def test_it_reads_the_examples_of_the_documentation():
    page = (settings.BASE_DIR / "docs" / "criteria.md").read_text()
    examples = [
        text for text in re.findall(r"```yaml\n(.*?)```", page, re.S) if "slug:" not in text
    ]
    assert len(examples) > 10
    for text in examples:
        assert read_criteria(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("criteria", "levels", "said"),
    [
        pytest.param(
            {"all": [{"count": "tests", "atLeast": 1}, {"count": "tests", "atLeast": 0}]},
            POINTS,
            "criteria → all → 1 → atLeast: The target must be above 0",
            id="node",
        ),
        pytest.param(
            {"best": "wpm", "where": {"mood": {"eq": "x"}}, "atLeast": 10},
            POINTS,
            "criteria → where → mood: Unknown metric",
            id="metric",
        ),
        pytest.param(
            {**LEAF, "foo": 1}, POINTS, "criteria → foo: foo is not known here; atLeast", id="field"
        ),
        pytest.param(
            {**LEAF, "last": 5},
            POINTS,
            "criteria → last: last is not known here; atLeast, best, where are.",
            id="last",
        ),
        pytest.param(
            {"best": "wpm"},
            [{"target": 60, "points": 5}, {"target": 60, "points": 5}],
            "level 2 → target: Targets must rise",
            id="not-rising",
        ),
        pytest.param(
            {"best": "wpm"}, POINTS, "level 1 → target: A target is needed", id="no-target"
        ),
        pytest.param(
            {"best": "wpm", "atLeast": 60},
            [{"target": 60, "points": 5}],
            "level 1 → target: The criteria set every target",
            id="two-targets",
        ),
        pytest.param(
            {"best": "wpm", "atLeast": 60},
            [{"target": None, "points": 10_001}],
            "level 1 → points: points must be a whole number from 0 to 10000",
            id="points",
        ),
        pytest.param(
            {"all": [{"best": "wpm"}, {"count": "tests"}]},
            [{"target": 60, "points": 5}],
            "criteria: Only one node may leave out atLeast",
            id="two-open",
        ),
    ],
)
def test_it_names_the_node_of_every_problem(criteria, levels, said):
    lines = [describe_problem(problem) for problem in check_draft(criteria, levels).problems]
    assert len(lines) == 1
    assert lines[0].startswith(said)


def test_it_finds_all_problems_at_once():
    criteria = {"all": [{"count": "days", "atLeast": 1}, {"best": "wpm", "atLeast": 999}]}
    assert len(check_draft(criteria, POINTS).problems) == 2


def test_it_says_each_level_in_plain_words():
    levels = [{"target": 60, "points": 5}, {"target": 80, "points": 10}]
    draft = check_draft({"best": "wpm"}, levels)
    assert not draft.problems
    assert draft.level_lines == [
        "Level 1: Reach 60 wpm. (5 points)",
        "Level 2: Reach 80 wpm. (10 points)",
    ]


@pytest.mark.parametrize(
    "tree",
    [
        {"count": "tests", "atLeast": 1},
        {"all": [{"best": "wpm", "where": {"language": {"in": ["français", "日本語"]}}}] * 4},
        {"any": [{"all": [{"unlocked": "x" * 60}, {"unlocked": "y" * 60}]}]},
    ],
)
def test_it_writes_criteria_that_read_back_the_same(tree):
    text = format_tree(tree)
    assert json.loads(text) == tree
    assert all(len(line) <= 100 for line in text.splitlines())


def test_it_reads_rows_of_levels():
    rows = [{"target": "60", "points": "5"}, {"target": "", "points": ""}]
    rows.append({"target": "80.5", "points": "10"})
    assert LevelsField().to_python(rows) == [
        {"target": 60, "points": 5},
        {"target": 80.5, "points": 10},
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"target": "fast", "points": "5"}, "level 1 → target: must be a number."),
        ({"target": "nan", "points": "5"}, "level 1 → target: must be a number."),
        ({"target": "1e999", "points": "5"}, "level 1 → target: must be a number."),
        ({"target": "60", "points": "-1"}, "level 1 → points: must be a whole number"),
        ({"target": "60", "points": "1.5"}, "level 1 → points: must be a whole number"),
        ({"target": "60", "points": "٣"}, "level 1 → points: must be a whole number"),
    ],
)
def test_it_refuses_rows_that_are_no_numbers(row, said):
    with pytest.raises(ValidationError) as caught:
        LevelsField().to_python([row])
    assert caught.value.messages[0].startswith(said)


@pytest.mark.parametrize(
    ("text", "user_id"),
    [
        *((" 12345 ", 12345), (str(2**63 - 1), 2**63 - 1), (str(2**63), None), ("0", None)),
        *(("-1", None), ("1.5", None), ("٣", None), ("", None), ("1 OR 1=1", None)),
    ],
)
def test_it_reads_a_user_id(text, user_id):
    assert read_user_id(text) == user_id
