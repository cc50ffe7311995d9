"""Puts the last run of the pipeline into docs/performance.md: python -m bench.pipeline_document."""

import json
import re
import sys
from typing import Any, Final

from bench.document import PAGE, write_tables
from bench.report import FOLDER

_MARKS: Final = re.compile(r"(<!-- pipeline -->\n).*?(<!-- end of pipeline -->)", re.DOTALL)


def main() -> int:
    path = FOLDER / "pipeline.json"
    if not path.exists():
        print(f"There is no {path} yet: make bench-pipeline", file=sys.stderr)
        return 1
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    found["figures"] = {
        name: {key: value for key, value in figure.items() if not isinstance(value, list)}
        for name, figure in found["figures"].items()
    }
    text = write_tables(found)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_MARKS.sub(lambda m: m[1] + text + m[2], page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
