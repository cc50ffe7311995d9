"""The catalogue file: all or nothing, by slug, and the shipped one as it must be."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.contrib.staticfiles import finders
from django.core.management import CommandError, call_command

from achievements.catalogue import CatalogueError, dump_catalogue, load_catalogue
from achievements.display import get_catalogue
from achievements.engine import process_events
from achievements.events import decode_event
from achievements.management.commands.load_achievements import SHIPPED
from achievements.models import Achievement, Publication
from achievements.rulebooks import get_rulebook
from achievements.selectors import read_user_achievements
from tests.api import CUSTOMER_EVENT
from tests.factories import NOON

pytestmark = pytest.mark.django_db
ENTRY = {
    "slug": "quick",
    "name": "Quick",
    "lockedDescription": "Type fast.",
    "unlockedDescription": "You typed fast.",
    "category": "speed",
    "icon": "flame",
    "criteria": {"best": "wpm", "atLeast": 80},
    "points": 10,
}


def write(path: Path, *entries: object) -> Path:
    file = path / "file.yaml"
    file.write_text(yaml.safe_dump({"achievements": list(entries)}, allow_unicode=True), "utf-8")
    return file


def run(*arguments: object, **options: Any) -> str:
    out = StringIO()
    call_command(*map(str, arguments), stdout=out, **options)
    return out.getvalue()


def test_loading_is_idempotent_and_shows_what_changes(tmp_path) -> None:
    file = write(tmp_path, ENTRY, {**ENTRY, "slug": "quicker"})
    assert run("load_achievements", file).startswith("+ quick\n+ quicker\n2 new, 0 changed")
    version = get_rulebook().version
    assert run("load_achievements", file) == "0 new, 0 changed, 2 unchanged.\n"
    assert get_rulebook().version == version

    write(tmp_path, {**ENTRY, "name": "Quick!", "points": 20})
    dry = run("load_achievements", file, "--dry-run")
    assert "    name: 'Quick' -> 'Quick!'\n" in dry
    assert "1 changed, 0 unchanged (dry run)" in dry
    assert Achievement.objects.get(slug="quick").name == "Quick"
    assert "0 new, 1 changed" in run("load_achievements", file)
    changed = Achievement.objects.get(slug="quick")
    assert (changed.name, changed.version) == ("Quick!", 2)
    assert Achievement.objects.count() == 2  # what is not in the file stays


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"criteria": {"best": "speed", "atLeast": 1}}, "bad: /criteria/best:"),
        (
            {"criteria": {"all": [{"count": "tests", "atLeast": 1}, {"sum": "mode"}]}},
            "bad: /criteria/all/1/sum:",
        ),
        ({"criteria": {"unlocked": "nobody"}}, "bad: /criteria:"),
        ({"criteria": {"unlocked": "bad"}}, "bad: /criteria:"),
        ({"criteria": None}, "bad: /criteria:"),
        ({"criteria": {"best": "wpm"}}, "bad: /levels/0/target:"),
        ({"levels": [{"target": 5, "points": 1}]}, "bad: /points:"),
        ({"points": -1}, "bad: /levels/0/points:"),
        ({"name": ""}, "bad: /name:"),
        ({"name": "x" * 81}, "bad: /name:"),
        ({"name": 5}, "bad: /name:"),
        ({"icon": "nothing"}, "bad: /icon:"),
        ({"icon": "../flame"}, "bad: /icon:"),
        ({"category": "Big Words"}, "bad: /category:"),
        ({"hidden": ["everything"]}, "bad: /hidden:"),
        ({"hidden": "title"}, "bad: /hidden:"),
        ({"status": "gone"}, "bad: /status:"),
        ({"sortOrder": "first"}, "bad: /sortOrder:"),
        ({"activeFrom": "soon"}, "bad: /activeFrom:"),
        ({"activeFrom": "2026-05-02", "activeUntil": "2026-05-01"}, "bad: /activeUntil:"),
        ({"activeFrom": "2026-13-45"}, "bad: /activeFrom:"),
        ({"colour": "red"}, "bad: /colour:"),
        ({"slug": "Not A Slug"}, "Not A Slug: /slug:"),
        ({"slug": ["a", "list"]}, "#2: /slug:"),
        ({"slug": {"a": 1}}, "#2: /slug:"),
        ({"slug": None}, "#2: /slug:"),
        ({"slug": "quick"}, "quick: /slug:"),
    ],
)
def test_one_bad_rule_changes_nothing_and_is_named(tmp_path, changes, expected) -> None:
    file = write(tmp_path, ENTRY, {**ENTRY, "slug": "bad", **changes})
    before = Publication.objects.count()
    with pytest.raises(CommandError) as caught:
        run("load_achievements", file)
    assert f"{file}: {expected}" in str(caught.value)
    assert not Achievement.objects.exists()
    assert Publication.objects.count() == before


@pytest.mark.parametrize(
    "text",
    ["", "achievements:", "achievements: []", "- 1", "a: [", "achievements: [5]", "\x00",
     "!!python/object:os.system x", "a: &a [*a]\nachievements: *a", "[" * 900],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_a_file_that_is_none_is_refused(tmp_path, text) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(text, "utf-8")
    with pytest.raises(CatalogueError, match=r"file\.yaml"):
        load_catalogue(file)


def test_missing_unreadable_and_huge_files_are_refused(tmp_path) -> None:
    with pytest.raises(CatalogueError, match="cannot be read"):
        load_catalogue(tmp_path / "nothing.yaml")
    file = tmp_path / "file.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CatalogueError, match="cannot be read"):
        load_catalogue(file)
    file.write_bytes(b"#" * 2_000_001)
    with pytest.raises(CatalogueError, match="larger"):
        load_catalogue(file)


def test_a_cycle_through_what_is_in_the_database_is_found(tmp_path) -> None:
    load_catalogue(
        write(tmp_path, ENTRY, {**ENTRY, "slug": "b", "criteria": {"unlocked": "quick"}})
    )
    with pytest.raises(CatalogueError, match=r"quick: /criteria: .*itself"):
        load_catalogue(write(tmp_path, {**ENTRY, "criteria": {"unlocked": "b"}}))


def test_dump_and_load_round_trip(tmp_path) -> None:
    call_command("load_achievements", stdout=StringIO())
    extra = {
        **ENTRY,
        "slug": "odd",
        "name": "Ünïcode: «yes»",
        "hidden": ["title", "count"],
        "status": "draft",
        "activeFrom": "2026-05-01T10:00:00+02:00",
        "activeUntil": "2026-06-01",
        "sortOrder": 0,
    }
    load_catalogue(write(tmp_path, extra))
    file = tmp_path / "dump.yaml"
    file.write_text(run("dump_achievements"), "utf-8")
    diff = load_catalogue(file)
    assert (diff.created, diff.changed) == ([], {})
    before = list(Achievement.objects.values_list("slug", "criteria", "levels", "active_from"))
    text = dump_catalogue(Achievement.objects.all())
    Achievement.objects.all().delete()
    load_catalogue(file)
    assert list(
        Achievement.objects.values_list("slug", "criteria", "levels", "active_from")
    ) == before  # fmt: skip
    assert dump_catalogue(Achievement.objects.all()) == text


def test_some_are_dumped_by_slug(tmp_path) -> None:
    load_catalogue(write(tmp_path, ENTRY, {**ENTRY, "slug": "b"}))
    [entry] = yaml.safe_load(run("dump_achievements", "b"))["achievements"]
    assert entry["slug"] == "b"
    with pytest.raises(CommandError, match="nothing"):
        run("dump_achievements", "nothing", "b")


@pytest.fixture
def shipped(db: None) -> list[Achievement]:
    load_catalogue(SHIPPED)
    return list(Achievement.objects.all())


def test_the_shipped_catalogue_is_rich(shipped) -> None:
    assert len(shipped) >= 60
    assert len({a.name for a in shipped}) == len(shipped)
    assert len({a.category for a in shipped}) >= 6
    assert any(a.hidden for a in shipped)
    assert any(len(a.levels) > 1 for a in shipped)
    heads = str([a.criteria for a in shipped])
    for kind in ("count", "sum", "best", "average", "streak", "run", "distinct", "unlocked"):
        assert f"'{kind}'" in heads, kind


def test_every_shipped_icon_exists(shipped) -> None:
    for achievement in shipped:
        path = finders.find(f"achievements/icons/{achievement.icon}.svg")
        assert isinstance(path, str), achievement.slug
        assert Path(path).read_text("utf-8").lstrip().startswith("<svg")


def test_every_shipped_rule_reads_as_a_sentence(shipped) -> None:
    catalogue = get_catalogue()
    for display in catalogue.displays:
        for level in catalogue.describe(display)["levels"]:
            sentence = level["sentence"]
            assert sentence[0].isupper() or not sentence[0].isalpha()
            assert sentence.endswith(".")
            assert len(sentence) < 300, display.achievement.slug
            for stain in ("None", "the level’s", "{", "  ", "durationSeconds", "nan"):
                assert stain not in sentence, sentence


def test_the_customers_event_unlocks_something(shipped) -> None:
    import json

    event = decode_event(json.dumps(CUSTOMER_EVENT), now=NOON)
    result = process_events([event])
    assert result.unlocks >= 3
    profile = read_user_achievements(user_id=12345)
    assert profile["unlockedCount"] >= 3
    assert profile["points"] > 0
