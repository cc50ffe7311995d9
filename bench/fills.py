"""Counts how often each document is filled from the database, for the display bench alone."""

from collections import Counter
from collections.abc import Sequence
from threading import Lock
from typing import Any

from django.http import HttpRequest, JsonResponse

from achievements import filling

_fills: Counter[str] = Counter()
_lock = Lock()


def count_fills() -> None:
    fill = filling._fill

    def count_and_fill(names: Sequence[str], *arguments: Any) -> Any:
        with _lock:
            _fills.update(names)
        return fill(names, *arguments)

    filling._fill = count_and_fill


def show_fills(request: HttpRequest) -> JsonResponse:
    """Return what was counted since the last call."""
    with _lock:
        found = {
            "fills": _fills.total(),
            "names": len(_fills),
            "most": max(_fills.values(), default=0),
        }
        _fills.clear()
    return JsonResponse(found)
