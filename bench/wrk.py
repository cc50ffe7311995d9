"""Load by wrk on documents of users drawn at random, and what it says of their latency."""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from deploy.local.process import HOST, find_program

CONNECTIONS: Final = 64

_SCRIPT: Final = """\
local path, first, count, is_zipf = "%(path)s", %(first)d, %(count)d, %(is_zipf)s
local headers = {%(headers)s}
local random, floor, log = math.random, math.floor, math.log(count)
function init(arguments)
  math.randomseed(%(seed)d)
end
function request()
  local index
  if is_zipf then -- the n-th most popular is asked for in proportion to 1 / n
    index = floor(math.exp(random() * log)) - 1
  else
    index = random(0, count - 1)
  end
  return wrk.format("GET", path:gsub("USER", string.format("%%d", first + index)), headers)
end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\nJSON{"requests":%%d,"seconds":%%f,"p50":%%f,"p95":%%f,"p99":%%f,"refused":%%d,"broken":%%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(95) / 1e3, latency:percentile(99) / 1e3, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """Latencies in milliseconds."""

    rate: float
    p50: float
    p95: float
    p99: float


class Wrk:
    """One run of wrk in the background; `finish` waits for it. Raises RuntimeError on errors."""

    def __init__(
        self,
        port: int,
        path: str,
        *,
        seconds: float,
        first: int = 1,
        count: int = 1,
        is_zipf: bool = False,
        headers: Mapping[str, str] | None = None,
        connections: int = CONNECTIONS,
        seed: int = 1,
    ) -> None:
        sent = {"Host": "localhost", "Accept-Encoding": "gzip", **(headers or {})}
        self._folder = tempfile.TemporaryDirectory()
        script = Path(self._folder.name) / "users.lua"
        script.write_text(
            _SCRIPT
            % {
                "path": path,
                "first": first,
                "count": count,
                "is_zipf": str(is_zipf).lower(),
                "seed": seed,
                "headers": ", ".join(
                    f"[{json.dumps(k)}] = {json.dumps(v)}" for k, v in sent.items()
                ),
            },
            encoding="utf-8",
        )
        self._process = subprocess.Popen(
            [
                *(find_program(("wrk",), package="wrk"), "-t1", f"-c{connections}"),
                *(f"-d{seconds:g}s", "--latency", "-s", str(script), f"http://{HOST}:{port}/"),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        self._folder.cleanup()

    def finish(self) -> Measured:
        output, _ = self._process.communicate()
        found = json.loads(output.rpartition("JSON")[2])
        if found["refused"] or found["broken"]:
            raise RuntimeError(f"wrk met errors:\n{output}")
        rate = found["requests"] / found["seconds"]
        return Measured(rate, found["p50"], found["p95"], found["p99"])


def run_wrk(port: int, path: str, **options: object) -> Measured:
    with Wrk(port, path, **options) as wrk:  # type: ignore[arg-type]
        return wrk.finish()
