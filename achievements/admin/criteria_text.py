"""The text of a criteria box (face): JSON or YAML in, and JSON that is easy to read out."""

import json
import re
from typing import Any, Final

import yaml
from django import forms

MAX_CRITERIA_CHARACTERS: Final = 32_000
WIDTH: Final = 76
_LONG_NUMBER: Final = re.compile(r"\d{100}")  # no text that criteria may hold is as long
_JSON: Final = re.compile(r'[\s{\[]*[{\[]\s*"')


class _Refused(ValueError):
    """Text that can be read and still says nothing clear."""


def format_tree(tree: Any, *, indent: int = 0) -> str:
    """Write JSON on one line where it fits, and only otherwise on several."""
    line = json.dumps(tree, ensure_ascii=False)
    if len(line) + indent <= WIDTH or not isinstance(tree, dict | list) or not tree:
        return line
    inner = " " * (indent + 2)
    if isinstance(tree, dict):
        parts = [
            f"{inner}{json.dumps(key, ensure_ascii=False)}: {format_tree(value, indent=indent + 2)}"
            for key, value in tree.items()
        ]
    else:
        parts = [f"{inner}{format_tree(item, indent=indent + 2)}" for item in tree]
    start, end = "{}" if isinstance(tree, dict) else "[]"
    return start + "\n" + ",\n".join(parts) + "\n" + " " * indent + end


def read_criteria(text: str) -> Any:
    """Decode the text of a criteria box. Raises ValidationError with the line and column."""
    if len(text) > MAX_CRITERIA_CHARACTERS:
        raise forms.ValidationError(
            f"Criteria may have at most {MAX_CRITERIA_CHARACTERS} characters.", code="too_large"
        )
    if _LONG_NUMBER.search(text):
        raise forms.ValidationError("A number has too many digits.", code="too_large")
    try:
        return _read_tree(text)
    except RecursionError:
        raise forms.ValidationError("Nested too deeply.", code="too_deep") from None
    except _Refused as error:
        raise forms.ValidationError(f"{error}.", code="unclear") from None


def _read_tree(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_refuse_twice, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        said = f"Not JSON: {error.msg} ({where})"
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        said = said if _JSON.match(text) else f"Neither JSON nor YAML: {error.problem}{where}"
    except yaml.YAMLError:
        pass  # a character that no text has
    except ValueError as error:
        if isinstance(error, _Refused):
            raise
        said = f"Neither JSON nor YAML: {error}"  # such as a day that no month has
    raise _Refused(said)


def _refuse_twice(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    # Python keeps the last of two equal names: half of what was typed would be lost unseen.
    tree = dict(pairs)
    if len(tree) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Refused(f"{twice!r} is given twice in one object")
    return tree


def _refuse_constant(name: str) -> float:
    raise _Refused(f"{name} is not a number that can be compared")


class _Loader(yaml.SafeLoader):
    """YAML without references, which can make a small text a huge tree."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise _Refused("References (*name) are not read here: write it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        tree = super().construct_mapping(node, deep=True)  # refuses what is no mapping or no key
        if len(tree) < len(node.value):
            _refuse_twice([(self.construct_object(key), None) for key, _ in node.value])
        return tree
