"""Verifies the host site's Bearer tokens (JWT); a face.

Signature, issuer, audience and expiry are always checked, against the one algorithm that is
configured: a token cannot choose its own.
"""

from functools import cache as remember
from typing import Final, NamedTuple

import jwt
import structlog
from django.conf import settings
from jwt.exceptions import PyJWKClientConnectionError

from achievements.events import MAX_ID

logger = structlog.get_logger(__name__)

MAX_TOKEN_LENGTH: Final = 8192
KEYS_TIMEOUT_SECONDS: Final = 3
KEYS_LIFETIME_SECONDS: Final = 300


class TokenError(Exception):
    """The token is not one to trust; the message is safe to show."""


class KeysUnavailableError(Exception):
    """The host site's public keys cannot be fetched now: nothing is wrong with the token."""


class Token(NamedTuple):
    """What a verified token says; it ends at `expires_at`, in seconds since 1970."""

    user_id: int
    expires_at: float


def verify_token(token: str) -> int:
    """Return the user id in `sub`. Raises TokenError or KeysUnavailableError."""
    return read_token(token).user_id


def read_token(token: str) -> Token:
    """Verify it first. Raises TokenError or KeysUnavailableError."""
    if len(token) > MAX_TOKEN_LENGTH:
        raise TokenError("The token is too long.")
    try:
        claims = jwt.decode(
            token,
            _read_key(token),
            algorithms=[settings.JWT_ALGORITHM],
            issuer=settings.JWT_ISSUER,
            audience=settings.JWT_AUDIENCE,
            # Host sites write numeric subjects; the clocks of two machines differ, so a token
            # issued "in the future" is no reason to refuse it (nbf is).
            options={
                "require": ["exp", "iss", "aud", "sub"],
                "verify_sub": False,
                "verify_iat": False,
            },
        )
    except jwt.ExpiredSignatureError:
        raise TokenError("The token has expired.") from None
    except PyJWKClientConnectionError as error:
        logger.warning("token_keys_unavailable", error=str(error))
        raise KeysUnavailableError from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise TokenError("The token is not valid.") from None
    return Token(_read_subject(claims["sub"]), float(claims["exp"]))


def _read_subject(subject: object) -> int:
    if isinstance(subject, str) and subject.isascii() and subject.isdecimal() and len(subject) < 20:
        subject = int(subject)
    if type(subject) is not int or not 1 <= subject <= MAX_ID:
        raise TokenError("The token's sub is not a user id (a positive 64-bit integer).")
    return subject


def _read_key(token: str) -> str | jwt.PyJWK:
    if not settings.JWT_JWKS_URL:
        return str(settings.JWT_KEY)
    return _build_key_client(settings.JWT_JWKS_URL).get_signing_key_from_jwt(token)


@remember
def _build_key_client(url: str) -> jwt.PyJWKClient:
    # An unknown key id fetches the set again, at most once in the client's cooldown.
    return jwt.PyJWKClient(url, lifespan=KEYS_LIFETIME_SECONDS, timeout=KEYS_TIMEOUT_SECONDS)
