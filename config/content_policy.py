"""The Content-Security-Policy header: strict everywhere, relaxed by path where a library needs it.

The admin theme evaluates expressions in its markup, and the API docs style themselves inline.
"""

from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponseBase

ADMIN_EXTRAS = {
    "script-src": ["'self'", "'unsafe-inline'", "'unsafe-eval'"],
    "style-src": ["'self'", "'unsafe-inline'"],
}
DOCS_EXTRAS = {"style-src": ["'self'", "'unsafe-inline'"]}


class ContentPolicyMiddleware(CSPMiddleware):
    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if request.path_info.startswith("/admin/"):
            parts.replace = {**(parts.replace or {}), **ADMIN_EXTRAS}
        elif request.path_info.startswith("/api/docs"):
            parts.replace = {**(parts.replace or {}), **DOCS_EXTRAS}
        return parts
