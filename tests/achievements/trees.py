"""Criteria as authors write them, for tests of the language."""

from typing import Any

COUNT = {"count": "tests", "atLeast": 1}
HUGE = 10**400


def nest(depth: int, tree: Any = COUNT) -> Any:
    for _ in range(depth):
        tree = {"all": [tree]}
    return tree


def where(**tree: Any) -> dict[str, Any]:
    return {**COUNT, "where": tree}
