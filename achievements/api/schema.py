"""The OpenAPI document: shapes come from msgspec structs, errors are written out; a face."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar, cast

import msgspec
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from achievements.api.problems import CONTENT_TYPE
from achievements.events import MAX_ID

View = TypeVar("View", bound=Callable[..., Any])

ID_SCHEMA: Final = {"type": "integer", "format": "int64", "minimum": 1, "maximum": MAX_ID}
USER_ID: Final = OpenApiParameter("user_id", ID_SCHEMA, OpenApiParameter.PATH, required=True)
SLUG: Final = OpenApiParameter(
    "slug",
    {"type": "string", "pattern": "^[-a-zA-Z0-9_]{1,64}$"},
    OpenApiParameter.PATH,
    required=True,
)
USER_IDS: Final = OpenApiParameter(
    "ids",
    {"type": "array", "items": ID_SCHEMA, "minItems": 1, "maxItems": 100, "uniqueItems": True},
    OpenApiParameter.QUERY,
    required=True,
    explode=False,
    description="Separated by commas.",
)
FIELDS: Final = OpenApiParameter(
    "fields",
    str,
    OpenApiParameter.QUERY,
    description="Only these fields of the answer, as in `points,achievements.slug`; the others are"
    " left out, though the schema requires them.",
)
IF_NONE_MATCH: Final = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="The ETag of the copy you hold."
)
NOT_MODIFIED: Final = {304: OpenApiResponse(description="Your copy is current; no body.")}

ANYBODY: Final[list[Mapping[str, list[str]]]] = [{}, {"Bearer": []}, {"Session": []}]
OWNER: Final[list[Mapping[str, list[str]]]] = [{"Bearer": []}]
OWNER_OR_STAFF: Final[list[Mapping[str, list[str]]]] = [{"Bearer": []}, {"Session": []}]
SERVICE: Final[list[Mapping[str, list[str]]]] = [{"ApiKey": []}]

_PROBLEMS: Final = {
    400: "The body, or a parameter, is not valid: `errors` says which field and why.",
    401: "No credential, or one that is not valid.",
    403: "The credential does not allow this.",
    404: "It does not exist, or it is not yours to see.",
    405: "Another method is meant.",
    406: "The answer is JSON, and you accept none.",
    411: "The body was sent in chunks: send it with a Content-Length.",
    413: "The body is too large.",
    415: "The body must be application/json, without content encoding.",
    422: "The Idempotency-Key was sent with another body before.",
    429: "Too many calls: wait as long as Retry-After says.",
    500: "Our fault; it has been logged.",
    501: "This server cannot do it.",
    503: "Not now: try again after Retry-After seconds. A write kept nothing.",
}
_ALWAYS: Final = (405, 406, 429, 500, 503)
_WITH_BODY: Final = (400, 411, 413, 415)

_shapes: list[type] = []


class FieldProblem(msgspec.Struct):
    """What is wrong with one field (RFC 6901 pointer; a query parameter by its name)."""

    pointer: str
    code: str
    detail: str


class Problem(msgspec.Struct):
    """RFC 9457, as application/problem+json."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldProblem]


def refer_to(shape: type) -> dict[str, Any]:
    """A reference to the component of a shape, which is then part of the document."""
    if shape not in _shapes:
        _shapes.append(shape)
    return {"$ref": f"#/components/schemas/{shape.__name__}"}


def describe(
    *,
    name: str,
    summary: str,
    auth: Sequence[Mapping[str, list[str]]],
    answer: type,
    status: int = 200,
    body: type | None = None,
    bodies: Iterable[type] = (),
    parameters: Sequence[OpenApiParameter] = (),
    problems: Iterable[int] = (),
    has_etag: bool = False,
    media_type: str = "application/json",
) -> Callable[[View], View]:
    """Document one operation. Docstrings of the view become its description."""
    codes = {*problems, *_ALWAYS}
    if any(parameter.location == OpenApiParameter.PATH for parameter in parameters):
        codes.add(404)
    accepted = [refer_to(shape) for shape in ((body,) if body else tuple(bodies))]
    request: Any = None
    if accepted:
        codes.update(_WITH_BODY)
        request = {"application/json": accepted[0] if len(accepted) == 1 else {"anyOf": accepted}}
    responses: dict[Any, Any] = {(status, media_type): OpenApiResponse(refer_to(answer))}
    if has_etag:
        responses.update(NOT_MODIFIED)
        parameters = [*parameters, FIELDS, IF_NONE_MATCH]
        codes.add(400)
    for code in sorted(codes):
        responses[code, CONTENT_TYPE] = OpenApiResponse(
            refer_to(Problem), description=_PROBLEMS[code]
        )
    return extend_schema(
        operation_id=name,
        summary=summary,
        auth=cast(Any, [dict(one) for one in auth]),
        request=request,
        responses=responses,
        parameters=list(parameters),
        tags=[name.partition("_")[0]],
    )


def complete_schema(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """drf-spectacular's POSTPROCESSING_HOOKS: adds the shapes that operations refer to."""
    _, components = msgspec.json.schema_components(
        _shapes, ref_template="#/components/schemas/{name}"
    )
    held = result.setdefault("components", {})
    held["schemas"] = {**held.get("schemas", {}), **components}
    # Staff reads with a session of the admin: security schemes without a view of their own.
    held.setdefault("securitySchemes", {}).update(_SECURITY_SCHEMES)
    return result


_SECURITY_SCHEMES: Final = {
    "Bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of the host site: its `sub` is the user id.",
    },
    "ApiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Api-Key ` and the key of a service.",
    },
    "Session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "sessionid",
        "description": "Staff, signed in to the admin.",
    },
}


class _BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "achievements.api.authentication.BearerAuthentication"
    name = "Bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return dict(_SECURITY_SCHEMES["Bearer"])


class _ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "achievements.api.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return dict(_SECURITY_SCHEMES["ApiKey"])


class _SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "rest_framework.authentication.SessionAuthentication"
    name = "Session"
    priority = 1  # before the framework's own

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return dict(_SECURITY_SCHEMES["Session"])
