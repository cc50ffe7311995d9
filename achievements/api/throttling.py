"""How often one may call; a face.

A fixed window counted by one atomic increment in the shared cache, so a limit holds across
processes. At a window's edge up to twice the limit can pass; a cache that is away lets all pass.
"""

import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from achievements import cache
from achievements.api.addresses import read_client_address
from achievements.api.callers import EndUser, Service


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left to one caller in the running window."""

    policy: str
    limit: int
    window_seconds: int
    remaining: int
    reset_seconds: int
    is_allowed: bool


def take_allowance(*, policy: str, caller: str) -> Allowance | None:
    """Count one call; None where the policy sets no limit or nobody can count."""
    rate: tuple[int, int] | None = settings.API_THROTTLE_RATES[policy]
    if rate is None:
        return None
    limit, window_seconds = rate
    now = time.time()
    window = int(now // window_seconds)
    used = cache.count_call(policy, caller, window=window, ttl_seconds=window_seconds + 1)
    if used is None:
        return None
    return Allowance(
        policy=policy,
        limit=limit,
        window_seconds=window_seconds,
        remaining=max(0, limit - used),
        reset_seconds=max(1, int((window + 1) * window_seconds - now + 0.999)),
        is_allowed=used <= limit,
    )


def name_caller(caller: Any, request: HttpRequest) -> str:
    """A user is one caller from everywhere, a key one caller, anybody else an address."""
    if isinstance(caller, EndUser):
        return f"user:{caller.user_id}"
    if isinstance(caller, Service):
        return caller.pk
    return f"address:{read_client_address(request)}"


def write_allowance(response: HttpResponseBase, allowance: Allowance | None) -> None:
    if allowance is None:
        return
    response["RateLimit-Limit"] = str(allowance.limit)
    response["RateLimit-Remaining"] = str(allowance.remaining)
    response["RateLimit-Reset"] = str(allowance.reset_seconds)
    response["RateLimit-Policy"] = (
        f'"{allowance.policy}";q={allowance.limit};w={allowance.window_seconds}'
    )
    if not allowance.is_allowed:
        response["Retry-After"] = str(allowance.reset_seconds)


class TokenThrottle(BaseThrottle):
    """For views of the framework; each names its policy in `throttle_policy`."""

    allowance: Allowance | None = None

    def allow_request(self, request: Request, view: object) -> bool:
        self.allowance = take_allowance(
            policy=getattr(view, "throttle_policy", "public"),
            caller=name_caller(request.user, request),
        )
        request._request.allowance = self.allowance  # type: ignore[attr-defined]
        return self.allowance is None or self.allowance.is_allowed

    def wait(self) -> float | None:
        return self.allowance.reset_seconds if self.allowance else None
