"""The scripts' way to an environment: what pip could not install does not count as installed."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "local" / "environment.sh"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with requirements and a Python whose pip ends as PIP_CODE says."""
    (tmp_path / "requirements").mkdir()
    for name in ("requirements.txt", "requirements/tools.txt"):
        (tmp_path / name).write_text("django\n")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        '*"pip install"*) echo "Collecting django"\n'
        '  if [ -n "$BREAKS_OFF" ] && [ ! -e tried ]; then touch tried; exit 1; fi\n'
        '  exit "$PIP_CODE" ;;\n'
        "esac\n"
    )
    python.chmod(0o755)
    return tmp_path


def install(
    project: Path, *, options: str, pip_code: int, breaks_off: bool = False
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"{options}\n. {SCRIPT}\nensure_environment tools && echo went on"],
        cwd=project,
        env={
            "PATH": "/usr/bin:/bin",
            "PIP_CODE": str(pip_code),
            "RETRY_SECONDS": "0",
            "BREAKS_OFF": "yes" if breaks_off else "",
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("options", ["", "set -euo pipefail"])
def test_a_failed_installation_stops_the_caller_whatever_its_options(
    project: Path, options: str
) -> None:
    done = install(project, options=options, pip_code=1)
    assert done.returncode == 1
    assert "went on" not in done.stdout
    assert "requirements/tools.txt could not be installed" in done.stderr
    assert done.stderr.count("trying again") == 2
    assert not list(project.glob(".venv/.installed-*"))


def test_what_breaks_off_once_is_tried_again(project: Path) -> None:
    done = install(project, options="set -euo pipefail", pip_code=0, breaks_off=True)
    assert done.stdout == "went on\n"
    assert done.stderr.count("trying again") == 1


def test_what_was_installed_is_not_installed_again(project: Path) -> None:
    assert install(project, options="", pip_code=0).stdout == "went on\n"
    assert {file.name for file in project.glob(".venv/.installed-*")} == {
        ".installed-tools",
        ".installed-embedded",
    }
    assert install(project, options="", pip_code=1).stdout == "went on\n"
    (project / "requirements.txt").write_text("django\nflask\n")
    assert install(project, options="", pip_code=1).returncode == 1
