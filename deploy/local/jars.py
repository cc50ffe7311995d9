"""The jars of Apache Kafka: fetched once with Maven into a cache folder, then read from there."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

from deploy.local.process import MissingProgram, find_program

POM_FILE = Path(__file__).parent / "kafka" / "pom.xml"
CACHE_VARIABLE = "LAUREL_KAFKA_JARS"
DEFAULT_CACHE = Path(__file__).resolve().parents[2] / "var" / "kafka"
FETCH_TIMEOUT_SECONDS = 300
MOST_TRIES = 3
PAUSE_SECONDS = 15.0
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class MissingJars(MissingProgram):
    """The jars are not in the cache and could not be fetched; the message holds the way out."""

    def __init__(self, reason: str, folder: Path) -> None:
        RuntimeError.__init__(
            self,
            f"Kafka's jars could not be fetched from Maven Central: {reason}. Where they can be, "
            f"copy {folder} here, or name the folder that holds it in {CACHE_VARIABLE}",
        )
        self.program = "kafka"
        self.package = str(POM_FILE)


def fetch_jars() -> Path:
    """The folder of the jars that pom.xml names, fetched when this very set is not there yet."""
    cache = Path(os.environ.get(CACHE_VARIABLE) or DEFAULT_CACHE)
    folder = cache / f"jars-{zlib.crc32(POM_FILE.read_bytes()):08x}"
    if not folder.is_dir():
        maven = find_program(("mvn",), package="maven")
        print(f"Fetching Kafka (46 MB, once) into {cache} ...", file=sys.stderr, flush=True)
        _fetch(maven, folder)
    return folder


def _fetch(maven: str, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=folder.parent))
    unfinished.chmod(0o755)
    try:
        for number in range(MOST_TRIES):  # what has come is kept in Maven's own cache
            time.sleep(PAUSE_SECONDS if number else 0)
            done = subprocess.run(
                [
                    *(maven, "-B", "-q", "-f", str(POM_FILE), "dependency:copy-dependencies"),
                    *("-DincludeScope=runtime", f"-DoutputDirectory={unfinished}"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=FETCH_TIMEOUT_SECONDS,
                check=False,
            )
            if done.returncode == 0:
                break
        else:
            raise MissingJars(_read_reason(done.stdout.decode(errors="replace")), folder)
        # In one step: another run sees all of the jars or none, and may have been faster.
        if not folder.is_dir():
            unfinished.rename(folder)
    except subprocess.TimeoutExpired as error:
        raise MissingJars(f"no end after {FETCH_TIMEOUT_SECONDS} s", folder) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _read_reason(output: str) -> str:
    lines = [line.strip() for line in _COLOUR.sub("", output).splitlines() if line.strip()]
    errors = [line.removeprefix("[ERROR]").strip() for line in lines if line.startswith("[ERROR]")]
    return (errors or lines or ["mvn said nothing"])[0].split(" -> [Help")[0].rstrip(".")[:400]
