"""How often one may call; a face."""

from rest_framework.throttling import BaseThrottle


class TokenThrottle(BaseThrottle):
    def allow_request(self, request, view):  # type: ignore[no-untyped-def]
        return True
