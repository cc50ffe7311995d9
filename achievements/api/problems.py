"""Errors as problem+json; a face."""

from rest_framework.views import exception_handler as handle_exception

__all__ = ["handle_exception"]
