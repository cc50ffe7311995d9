"""What a field takes, in the words of JSON (pure floor); asked only where a value was refused."""

import re
from typing import Any, Final

from msgspec import inspect

_GOT: Final = re.compile(r", got `([a-z]+)`")
_NAMES: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "object": "an object",
    "array": "a list",
    "bool": "true or false",
    "datetime": "a time",
}


def list_expected(*shapes: type) -> dict[str, str]:
    """Return what each field of the structs takes, by its name on the wire."""
    return {
        field.encode_name: _describe(field.type)
        for shape in shapes
        for field in inspect.type_info(shape).fields  # type: ignore[attr-defined]
    }


def say_expected(detail: str, expected: str | None) -> str:
    """Return msgspec's sentence in the words of JSON, with all that the field takes if known."""
    if expected is None:
        return re.sub(r"`([^`]*)`", lambda found: _translate(found[1]), detail) + "."
    got = _GOT.search(detail)
    return f"Expected {expected}{', got ' + _translate(got[1]) if got else ''}."


def _translate(names: str) -> str:
    return " or ".join(_NAMES.get(name, name) for name in names.split(" | "))


def _describe(found: Any) -> str:
    if isinstance(found, inspect.UnionType):
        found = next(one for one in found.types if not isinstance(one, inspect.NoneType))
    match found:
        case inspect.IntType():
            return f"a whole number{_say_bounds(found)}"
        case inspect.FloatType():
            return f"a number{_say_bounds(found)}"
        case inspect.StrType():
            return f"text of {found.min_length} to {found.max_length} characters"
        case inspect.LiteralType():
            return f"one of {', '.join(map(str, found.values))}"
        case inspect.DateTimeType():
            return "a time with its offset, such as 2026-12-01T12:00:00Z"
    return "an object"


def _say_bounds(found: Any) -> str:
    if found.gt is not None:
        return f" above {_write(found.gt)} and up to {_write(found.le)}"
    return f" from {_write(found.ge)} to {_write(found.le)}"


def _write(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)
