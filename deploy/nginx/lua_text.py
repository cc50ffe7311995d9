"""Values as Lua writes them."""

from collections.abc import Iterable

_SAFE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_.:/,*[]"


def quote(text: str) -> str:
    """Return a string of Lua: every byte that is not plainly harmless as its number."""
    escaped = (c if c in _SAFE else "".join(f"\\{n:03d}" for n in c.encode()) for c in text)
    return '"' + "".join(escaped) + '"'


def write_list(texts: Iterable[str]) -> str:
    return "{ " + ", ".join(map(quote, texts)) + " }"


def write_set(texts: Iterable[str]) -> str:
    return "{ " + ", ".join(f"[{quote(text)}] = true" for text in texts) + " }"
