from pathlib import Path

import pytest

from deploy.local import jars
from deploy.local.jars import CACHE_VARIABLE, fetch_jars
from deploy.local.kafka import Kafka
from deploy.local.process import MissingProgram

UNREACHABLE = """#!/bin/sh
echo "[ERROR] Could not transfer artifact: Network is unreachable -> [Help 1]"
echo "[ERROR] Re-run Maven"
exit 1
"""
FETCHING = """#!/bin/sh
for argument; do case $argument in -DoutputDirectory=*) touch "${argument#*=}/one.jar";; esac; done
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only programs that are found, with an empty cache."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("sh", "touch"):
        (folder / name).symlink_to(f"/bin/{name}")
    monkeypatch.setattr(jars, "PAUSE_SECONDS", 0)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return folder


def write_maven(folder: Path, text: str) -> None:
    (folder / "mvn").write_text(text)
    (folder / "mvn").chmod(0o755)


def test_missing_java_is_said_with_the_way_out(programs: Path) -> None:
    with pytest.raises(MissingProgram, match="apt-get install -y openjdk-17-jre-headless"):
        Kafka()


def test_missing_maven_is_said_with_the_way_out(programs: Path) -> None:
    with pytest.raises(MissingProgram, match="apt-get install -y maven"):
        fetch_jars()


def test_an_unreachable_source_is_said_in_mavens_words_and_leaves_nothing(
    programs: Path, tmp_path: Path
) -> None:
    write_maven(programs, UNREACHABLE)
    with pytest.raises(MissingProgram) as caught:
        fetch_jars()
    assert "Network is unreachable. Where they can be" in str(caught.value)
    assert CACHE_VARIABLE in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_jars_are_fetched_once_and_a_break_is_mended(programs: Path) -> None:
    once = f"[ -e {programs}/tried ] || {{ touch {programs}/tried; exit 1; }}\n"
    write_maven(programs, FETCHING.replace("\n", f"\n{once}", 1))
    folder = fetch_jars()
    assert [file.name for file in folder.iterdir()] == ["one.jar"]
    (programs / "mvn").unlink()
    assert fetch_jars() == folder
