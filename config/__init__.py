"""Settings, urls and process entry points; shared tasks bind to the Celery app imported here."""

from celery_app import app as celery_app

__all__ = ["celery_app"]
