"""The profiles app: connects its signal receivers when it is ready."""

from importlib import import_module
from importlib.util import find_spec

from django.apps import AppConfig


class ProfilesConfig(AppConfig):
    name = "profiles"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        if find_spec("profiles.signals"):
            import_module("profiles.signals")
