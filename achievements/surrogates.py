"""Half characters in the texts of JSON (pure floor): JavaScript can write them, UTF-8 cannot."""

import json
from typing import Any


def read_tolerantly(body: bytes | str, *, errors: str = "strict") -> Any:
    """Read what is JSON by its grammar; None for what is not even that."""
    try:
        text = body if isinstance(body, str) else body.decode(errors=errors)
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return None


def _refuse_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are no JSON


def write_tolerantly(item: object) -> bytes:
    text = json.dumps(item, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def find_half_character(tree: Any, pointer: str = "") -> str | None:
    """Return the pointer to the first text that holds one; None where all are whole."""
    if isinstance(tree, str):
        return None if _is_whole(tree) else pointer
    if isinstance(tree, dict):
        if not all(map(_is_whole, tree)):
            return pointer
        places = ((f"{pointer}/{name}", below) for name, below in tree.items())
    elif isinstance(tree, list):
        places = ((f"{pointer}/{index}", below) for index, below in enumerate(tree))
    else:
        return None
    found = (find_half_character(below, place) for place, below in places)
    return next((one for one in found if one is not None), None)


def _is_whole(text: str) -> bool:
    return text.isprintable() or text.encode(errors="ignore").decode() == text
