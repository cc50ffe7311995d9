"""Signs user tokens for development, as the host site would in production (services floor)."""

import time

import jwt
from django.conf import settings


class TokenRefused(RuntimeError):
    """This installation verifies tokens but must not, or cannot, sign them."""


def issue_token(*, user_id: int, ttl_seconds: int = 3600) -> str:
    """Return a Bearer token. Raises TokenRefused in production and without a shared secret."""
    if settings.IS_PRODUCTION:
        raise TokenRefused("Tokens are issued by the host site; this signs them in development.")
    if settings.JWT_ALGORITHM != "HS256" or settings.JWT_JWKS_URL:
        raise TokenRefused("Only with JWT_ALGORITHM=HS256 is the key one that signs.")
    now = int(time.time())
    return jwt.encode(
        {
            "iss": settings.JWT_ISSUER,
            "aud": settings.JWT_AUDIENCE,
            "sub": str(user_id),
            "iat": now,
            "exp": now + ttl_seconds,
        },
        settings.JWT_KEY,
        algorithm="HS256",
    )
