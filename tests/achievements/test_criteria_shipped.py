"""The criteria that the project ships: its catalogues, and the examples in its docs."""

from pathlib import Path

import pytest
import yaml

from achievements.criteria import (
    count_open_targets,
)
from achievements.criteria_parser import parse_criteria
from achievements.definition import Definition, Level, check_references, find_measures
from achievements.rulebook import Rulebook

ROOT = Path(__file__).resolve().parents[2]
CATALOGUES = sorted((ROOT / "achievements").glob("catalogue*/*.yaml"))


class TestShipped:
    def test_there_is_a_catalogue(self) -> None:
        assert CATALOGUES

    @pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.name)
    def test_the_whole_catalogue_compiles(self, path: Path) -> None:
        entries = yaml.safe_load(path.read_text())["achievements"]
        definitions = [
            Definition(
                achievement_id=number,
                slug=entry["slug"],
                criteria=entry["criteria"],
                levels=tuple(
                    Level(level.get("target"), level["points"])
                    for level in entry.get("levels", [{"points": entry.get("points")}])
                ),
            )
            for number, entry in enumerate(entries, 1)
        ]
        assert check_references(definitions) == {}
        for definition in definitions:
            targets = [level.target for level in definition.levels]
            assert count_open_targets(definition.parse()) == (targets != [None])
        keys = find_measures(definitions)
        rulebook = Rulebook(
            version=1, definitions=definitions, positions={k: i for i, k in enumerate(keys)}
        )
        assert len(rulebook.rules) == len(entries)

    def test_the_documented_examples_parse(self) -> None:
        text = (ROOT / "docs" / "criteria.md").read_text()
        blocks = text.split("```yaml\n")[1:]
        trees = [yaml.safe_load(block.split("```")[0]) for block in blocks]
        examples = [tree for tree in trees if isinstance(tree, dict)]
        assert len(examples) >= 10
        for tree in examples:
            parse_criteria(tree)
