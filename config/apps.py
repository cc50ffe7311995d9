"""The config app: registers the system checks."""

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    name = "config"
    label = "config"

    def ready(self) -> None:
        from config import checks

        checks.register_checks()
