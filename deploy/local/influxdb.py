"""A real InfluxDB 1.x server on this machine, on ports and in a folder of its own."""

import http.client
from pathlib import Path
from typing import Self
from urllib.parse import urlencode

from deploy.local.process import HOST, LocalProcess, StartError, find_free_port, find_program

DATABASE = "laurel"


class InfluxDB(LocalProcess):
    """Speaks the endpoints /write and /query; the database `laurel` exists when start() returns."""

    name = "influxdb"

    def __init__(self, *, port: int | None = None, folder: Path | None = None) -> None:
        self.server_program = find_program(("influxd",), package="influxdb")
        super().__init__(port=port, folder=folder)
        self.backup_port = find_free_port()
        self.settings_file = self.folder / "influxdb.conf"

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def prepare(self) -> None:
        self.settings_file.write_text(
            f"""reporting-disabled = true
bind-address = "{HOST}:{self.backup_port}"
[meta]
dir = "{self.folder}/meta"
[data]
dir = "{self.folder}/data"
wal-dir = "{self.folder}/wal"
query-log-enabled = false
[monitor]
store-enabled = false
[http]
bind-address = "{HOST}:{self.port}"
log-enabled = false
[logging]
level = "warn"
suppress-logo = true
"""
        )

    def build_command(self) -> list[str]:
        return [self.server_program, "-config", str(self.settings_file)]

    def is_ready(self) -> bool:
        try:
            return self._request("GET", "/ping") == 204
        except OSError:
            return False

    def start(self) -> Self:
        if not self.is_running:
            super().start()
            query = urlencode({"q": f"CREATE DATABASE {DATABASE}"})  # none when it exists
            if (status := self._request("POST", f"/query?{query}")) != 200:
                raise StartError(f"InfluxDB answered {status} to CREATE DATABASE.")
        return self

    def _request(self, method: str, path: str) -> int:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=2)
        try:
            connection.request(method, path)
            return connection.getresponse().status
        finally:
            connection.close()
