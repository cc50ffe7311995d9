"""Finds out who calls: Bearer tokens of end users, keys of services; a face."""

from typing import Any, cast

from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from achievements import cache
from achievements.api.bearer import KeysUnavailableError, TokenError, read_token
from achievements.api.callers import EndUser, Service
from achievements.api.problems import refuse_while_unavailable
from achievements.models import ServiceKey

MAX_KEY_LENGTH = 200


class WrongCredential(AuthenticationFailed):
    """A credential was sent and is not valid; `challenge` is the WWW-Authenticate header."""

    def __init__(self, detail: str, challenge: str) -> None:
        super().__init__(detail)
        self.challenge = challenge


def identify(request: HttpRequest | Request) -> EndUser | Service | None:
    """The caller that the Authorization header names; None without one that is ours to read.

    A credential that was sent and is wrong is a 401, also where none is needed.
    """
    header: bytes = get_authorization_header(request)  # type: ignore[arg-type]
    scheme, _, credential = header.partition(b" ")
    match scheme.lower():
        case b"bearer":
            return _identify_end_user(_read_credential(credential))
        case b"api-key":
            return _identify_service(_read_credential(credential))
    return None


def _read_credential(credential: bytes) -> str:
    text = credential.strip().decode("latin-1")
    if not text or not text.isascii() or " " in text:
        raise WrongCredential(
            "The Authorization header holds no credential.", 'Bearer realm="laurel"'
        )
    return text


def _identify_end_user(token: str) -> EndUser:
    try:
        return EndUser(*read_token(token))
    except TokenError as error:
        raise WrongCredential(str(error), 'Bearer realm="laurel", error="invalid_token"') from None
    except KeysUnavailableError:
        raise refuse_while_unavailable("Tokens cannot be verified now.") from None


def _identify_service(key: str) -> Service:
    """A verified key is remembered for a minute, so a revoked one may work that much longer."""
    kept = cache.read_service_key(key)
    if isinstance(kept, dict):
        return Service(prefix=kept["prefix"], scopes=frozenset(kept["scopes"]))
    found = _find_service_key(key) if len(key) <= MAX_KEY_LENGTH else None
    if found is None:
        raise WrongCredential("The service key is not valid.", 'Api-Key realm="laurel"')
    scopes = sorted(str(scope) for scope in found.scopes)
    cache.keep_service_key(key, {"prefix": found.prefix, "scopes": scopes})
    return Service(prefix=found.prefix, scopes=frozenset(scopes))


def _find_service_key(key: str) -> ServiceKey | None:
    try:
        found = cast(ServiceKey, ServiceKey.objects.get_from_key(key))
    except ServiceKey.DoesNotExist:
        return None
    is_expired = found.expiry_date is not None and found.expiry_date < timezone.now()
    return None if is_expired else found


class _HeaderAuthentication(BaseAuthentication):
    realm = ""
    kind: type[EndUser] | type[Service]

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        header = get_authorization_header(request)
        if header.partition(b" ")[0].lower().decode("latin-1") != self.realm.lower():
            return None
        caller = identify(request)
        return None if caller is None else (caller, None)

    def authenticate_header(self, request: Request) -> str:
        return f'{self.realm} realm="laurel"'


class BearerAuthentication(_HeaderAuthentication):
    realm = "Bearer"


class ApiKeyAuthentication(_HeaderAuthentication):
    realm = "Api-Key"
