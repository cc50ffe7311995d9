"""Fixtures of the API's tests."""

from tests.api import api, catalogue, key, referring

__all__ = ["api", "catalogue", "key", "referring"]
