"""Parts of a document, as `?fields=points,achievements.slug` asks for them; a face."""

from functools import lru_cache
from typing import Any, Final

import orjson
from django.http import HttpRequest
from msgspec import inspect

from achievements.api.problems import ProblemError
from achievements.documents import Document, Stamp, build_document, encode_json
from achievements.events import Problem

MAX_FIELDS: Final = 20
Wanted = dict[str, set[str] | None]  # field -> its own fields; None: the whole of it


def read_fields(request: HttpRequest, shape: type) -> Wanted:
    """Return what is asked for; empty for the whole document. Raises ProblemError (400).

    The shape of the answer says what there is, not the answer: a user without unlocks is asked
    for the same fields.
    """
    text = request.GET.get("fields", "") if request.META.get("QUERY_STRING") else ""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(names) > MAX_FIELDS:
        raise _refuse(f"fields may name at most {MAX_FIELDS} fields.")
    wanted: Wanted = {}
    for name in names:
        field, dot, inner = name.partition(".")
        _check(shape, field, inner if dot else None)
        known = wanted.setdefault(field, set())
        # Whoever asks for the whole and for a part of it gets the whole.
        if not dot:
            wanted[field] = None
        elif known is not None:
            known.add(inner)
    return wanted


def select_fields(document: Document, wanted: Wanted) -> Document:
    """Return the document with these fields alone."""
    whole: dict[str, Any] = orjson.loads(document.body)
    part = {
        field: whole[field] if inner is None else [_select(entry, inner) for entry in whole[field]]
        for field, inner in wanted.items()
    }
    stamp = Stamp(document.revision, document.is_private)
    return build_document(encode_json(part), stamp=stamp, edition=document.edition)


def _select(entry: dict[str, Any], inner: set[str]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name in inner}


def _check(shape: type, field: str, inner: str | None) -> None:
    known = _list_fields(shape)
    if field not in known:
        raise _refuse(f"fields: there is no {field}; there are {', '.join(known)}.")
    if inner is None or inner in known[field]:
        return
    if not known[field]:
        raise _refuse(f"fields: {field} has no fields of its own.")
    raise _refuse(f"fields: there is no {field}.{inner}; there are {', '.join(known[field])}.")


@lru_cache
def _list_fields(shape: type) -> dict[str, list[str]]:
    """Return the fields of a shape, each with those of its entries, where it is a list of them."""
    found = inspect.type_info(shape)
    assert isinstance(found, inspect.StructType)
    return {field.encode_name: _list_inner(field.type) for field in found.fields}


def _list_inner(found: inspect.Type) -> list[str]:
    entry = found.item_type if isinstance(found, inspect.ListType) else None
    return (
        [one.encode_name for one in entry.fields] if isinstance(entry, inspect.StructType) else []
    )


def _refuse(detail: str) -> ProblemError:
    problem = Problem("/fields", "unknown", detail)
    return ProblemError(400, detail, code="invalid", errors=[problem])
