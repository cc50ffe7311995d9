"""The mapping file: what is wrong with it is named, entry by entry."""

import pytest

from achievements.legacy_mapping import MappingError, propose_entries, read_mapping
from achievements.models import Status
from tests.factories import make_achievement, publish

pytestmark = pytest.mark.django_db
BAD_FILES = {
    "no yaml": ("achievements: {1: [", "cannot be read"),
    "no mapping": ("- 1", "must begin with `achievements:`"),
    "empty": ("", "must begin with `achievements:`"),
    "no entries": ("achievements: {}", "achievements: must map ids"),
    "a list": ("achievements: [first]", "achievements: must map ids"),
    "unknown key": ("achievements: {1: first}\nskip: [2]", "'skip': unknown; known: achievements"),
    "twice": ("achievements:\n  1: first\n  2: many\n  1: many", "1 stands twice, again in line 4"),
    "quoted id": ("achievements: {'1': first}", "'1': the id must be a whole number"),
    "true": ("achievements: {true: first}", "achievements: True: the id must be a whole number"),
    "no such slug": ("achievements: {1: frist}", "1: there is no achievement 'frist'"),
    "slug of another type": ("achievements: {1: {slug: 5}}", "there is no achievement 5"),
    "a draft": ("achievements: {1: draft}", "achievements: 1: 'draft' is a draft"),
    "level 0": ("achievements: {1: {slug: many, level: 0}}", "level 0: 'many' has the levels 1"),
    "level 4": ("achievements: {1: {slug: many, level: 4}}", "level 4: 'many' has the levels 1 to"),
    "level x": ("achievements: {1: {slug: many, level: x}}", "level 'x': 'many' has"),
    "unknown field": ("achievements: {1: {slug: many, lvl: 1}}", "1: must be a slug, or {slug"),
    "no slug": ("achievements: {1: {level: 1}}", "1: must be a slug, or {slug"),
    "null": ("achievements: {1: }", "1: must be a slug, or {slug"),
    "ignore": ("achievements: {1: first}\nignore: 7", "ignore: must be a list of ids"),
    "ignore texts": ("achievements: {1: first}\nignore: ['7']", "ignore: must be a list of ids"),
    "both": ("achievements: {1: first}\nignore: [1]", "ignore: 1: is mapped as well"),
}  # fmt: skip


@pytest.fixture
def definitions(db) -> dict[str, int]:
    many = make_achievement("many", {"count": "tests"}, 3, 10, 40)
    first = make_achievement("first", {"count": "tests", "atLeast": 1}, status=Status.LOCKED)
    make_achievement("draft", {"count": "tests", "atLeast": 1}, status=Status.DRAFT)
    publish()
    return {"many": many.pk, "first": first.pk}


@pytest.mark.parametrize(("text", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused(definitions, tmp_path, text, message) -> None:
    file = tmp_path / "mapping.yaml"
    file.write_text(text)
    with pytest.raises(MappingError) as caught:
        read_mapping(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)


def test_every_problem_is_said_at_once(definitions, tmp_path) -> None:
    file = tmp_path / "mapping.yaml"
    file.write_text("achievements: {1: nope, 2: first, 3: {slug: many, level: 9}}\nignore: [2]")
    with pytest.raises(MappingError) as caught:
        read_mapping(file)
    assert [line.split(": ")[2] for line in str(caught.value).splitlines()] == ["1", "3", "2"]


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read(db, tmp_path, name) -> None:
    with pytest.raises(MappingError, match="cannot be read"):
        read_mapping(tmp_path / name)


def test_a_good_file(definitions, tmp_path) -> None:
    file = tmp_path / "mapping.yaml"
    file.write_text(
        "achievements:\n  1: first\n  2: {slug: many, level: 3}\n  9: many\nignore: [7]"
    )
    mapping = read_mapping(file)
    many, first = definitions["many"], definitions["first"]
    assert mapping.levels == {1: (first, 1), 2: (many, 3), 9: (many, 1)}
    assert mapping.ignored == {7}


def test_lines_are_proposed_from_names(definitions) -> None:
    lines = propose_entries({4: "Many", 5: "No\nsuch: thing", 6: "Draft"}, [4, 5, 6])
    assert lines == ["  4: many  # Many", "  5: ?  # No such: thing", "  6: ?  # Draft"]
