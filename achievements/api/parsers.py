"""Reads a JSON body as bytes, within bounds; msgspec decodes it in the view; a face."""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from achievements.api.problems import ProblemError
from achievements.events import Problem


class BodyParser(BaseParser):
    """Leaves the bytes as they are: one decoder checks syntax, types and bounds together."""

    media_type = "application/json"

    def parse(  # type: ignore[override]
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        context = parser_context or {}
        request: Request = context["request"]
        coding = request.META.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
        if coding not in {"", "identity"}:
            raise UnsupportedMediaType(media_type or "", "Send the body without content encoding.")
        limit: int = context["view"].max_body_bytes
        # Never more than one byte beyond the limit, whatever the header says.
        body: bytes = stream.read(limit + 1)
        if len(body) > limit:
            detail = f"The body is larger than {limit} bytes."
            raise ProblemError(413, detail, errors=[Problem("", "too_large", detail)])
        return body


def read_body(request: Request) -> bytes:
    """The body's bytes; the framework never calls a parser for an empty one."""
    data: object = request.data
    if isinstance(data, bytes):
        return data
    if request.META.get("HTTP_TRANSFER_ENCODING"):
        raise ProblemError(411, "Send the body with its Content-Length.")
    return b""
