"""JSON out by orjson; a face."""

from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import BaseRenderer

from achievements.documents import encode_json


class OrjsonRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None  # JSON is UTF-8

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return b"" if data is None else encode_json(data)
