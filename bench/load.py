"""Makes load on a server with wrk, or with a few threads of Python where there is no wrk."""

import http.client
import re
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import Final

CONNECTIONS: Final = 8

_SCRIPT: Final = """\
local paths, number = {%s}, 0
function request()
  number = number %% #paths + 1
  return wrk.format("GET", paths[number])
end
"""


def find_generator() -> str:
    return "wrk" if shutil.which("wrk") else "python threads"


def measure_requests(port: int, paths: list[str], *, seconds: int) -> float:
    """Return the requests a second that a server answers with 200."""
    if find_generator() == "wrk":
        return _run_wrk(port, paths, seconds)
    deadline = time.monotonic() + seconds
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        counts = pool.map(
            lambda offset: _read_until(deadline, port, paths, offset), range(CONNECTIONS)
        )
    return sum(counts) / seconds


def _run_wrk(port: int, paths: list[str], seconds: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "paths.lua"
        script.write_text(_SCRIPT % ", ".join(f'"{path}"' for path in paths), encoding="utf-8")
        done = subprocess.run(
            [
                *("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script)),
                f"http://127.0.0.1:{port}/",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if not found or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"wrk met errors:\n{done.stdout}")
    return float(found[1])


def _read_until(deadline: float, port: int, paths: list[str], offset: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    count = 0
    for path in islice(cycle(paths), offset, None):
        if time.monotonic() > deadline:
            break
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise RuntimeError(f"{path} was answered with {response.status}.")
        count += 1
    connection.close()
    return count
