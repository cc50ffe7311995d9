"""The edge on this machine: nginx with the configuration of deploy/nginx, before one site."""

import os
import subprocess
import sys
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path

from deploy.local.process import (
    HOST,
    LocalProcess,
    MissingProgram,
    StartError,
    find_program,
)
from deploy.local.program import ROOT
from deploy.nginx.configuration import find_modules

PACKAGES = "nginx libnginx-mod-http-lua"


class Edge(LocalProcess):
    """Serves documents from the Redis of `environment`, and everything else from `site`."""

    name = "edge"
    ready_path = "/edge-metrics"
    # As root it would give its workers to nobody, who may not read the checkout.
    user = "root" if os.geteuid() == 0 else ""

    def __init__(
        self,
        *,
        site: str,
        environment: Mapping[str, str],
        stream: str = "",
        workers: int = 1,
        port: int | None = None,
        folder: Path | None = None,
    ) -> None:
        self.program = find_program(("nginx",), package=PACKAGES)
        if find_modules() is None:
            raise MissingProgram("nginx's module for Lua", PACKAGES)
        super().__init__(port=port, folder=folder)
        self.site, self.stream, self.workers = site, stream, workers
        self.environment = environment

    @property
    def configuration_file(self) -> Path:
        return self.folder / "nginx.conf"

    def prepare(self) -> None:
        """As an operator does: settings are those of `environment`, not of this process."""
        done = subprocess.run(
            [
                *(sys.executable, "-m", "deploy.nginx"),
                *("--listen", f"{HOST}:{self.port}", "--site", self.site, "--stream", self.stream),
                *("--workers", str(self.workers), "--user", self.user),
                *("--state", str(self.folder)),
            ],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise StartError(f"The edge's configuration: {done.stderr.strip()}")
        self.configuration_file.write_text(done.stdout, encoding="utf-8")

    def build_command(self) -> list[str]:
        return [self.program, "-c", str(self.configuration_file), "-g", "daemon off;"]

    def is_ready(self) -> bool:
        connection = HTTPConnection(HOST, self.port, timeout=2)
        try:
            connection.request("GET", self.ready_path)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()
