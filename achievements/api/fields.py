"""Parts of a document, as `?fields=points,achievements.slug` asks for them; a face."""

from typing import Any, Final

import orjson
from django.http import HttpRequest

from achievements.api.problems import ProblemError
from achievements.documents import Document, Stamp, build_document, encode_json
from achievements.events import Problem

MAX_FIELDS: Final = 20
Wanted = dict[str, set[str]]  # field -> its own fields; none: all of them


def read_fields(request: HttpRequest) -> Wanted:
    """Return what is asked for; empty for the whole document. Raises ProblemError (400)."""
    text = request.GET.get("fields", "") if request.META.get("QUERY_STRING") else ""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(names) > MAX_FIELDS:
        raise _refuse(f"fields may name at most {MAX_FIELDS} fields.")
    wanted: Wanted = {}
    for name in names:
        field, dot, inner = name.partition(".")
        known = wanted.setdefault(field, set())
        if dot:
            known.add(inner)
    return wanted


def select_fields(document: Document, wanted: Wanted) -> Document:
    """Return the document with these fields alone; what does not exist is refused by its name.

    An empty list cannot say what its entries would have had, so their fields pass.
    """
    whole: dict[str, Any] = orjson.loads(document.body)
    part = {}
    for field, inner in wanted.items():
        if field not in whole:
            raise _refuse(f"fields: there is no {field}; there are {', '.join(whole)}.")
        part[field] = _select(whole[field], field, inner) if inner else whole[field]
    stamp = Stamp(document.revision, document.is_private)
    return build_document(encode_json(part), stamp=stamp, edition=document.edition)


def _select(value: Any, field: str, inner: set[str]) -> Any:
    entries = value if isinstance(value, list) else [value]
    if entries and not isinstance(entries[0], dict):
        raise _refuse(f"fields: {field} has no fields of its own.")
    for name in sorted(inner):
        if entries and name not in entries[0]:
            raise _refuse(f"fields: there is no {field}.{name}; there are {', '.join(entries[0])}.")
    chosen = [{name: entry[name] for name in entry if name in inner} for entry in entries]
    return chosen if isinstance(value, list) else chosen[0]


def _refuse(detail: str) -> ProblemError:
    problem = Problem("/fields", "unknown", detail)
    return ProblemError(400, detail, code="invalid", errors=[problem])
