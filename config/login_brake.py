"""Slows guessing of staff passwords: a few attempts an address and minute, then 429."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse

from achievements.api.addresses import read_client_address
from achievements.api.throttling import take_allowance


class LoginBrakeMiddleware:
    """Stands before the sessions, so that a refused attempt costs no password hash."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method == "POST" and request.path_info == reverse("admin:login"):
            caller = f"address:{read_client_address(request)}"
            allowance = take_allowance(policy="login", caller=caller)
            if allowance and not allowance.is_allowed:
                return HttpResponse(
                    f"Too many attempts. Try again in {allowance.reset_seconds} seconds.\n",
                    status=429,
                    content_type="text/plain; charset=utf-8",
                    headers={"Retry-After": str(allowance.reset_seconds)},
                )
        return self.get_response(request)
