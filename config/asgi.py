"""The ASGI application: for the live stream, which WSGI would buffer."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_asgi_application()

from config.checks import refuse_wrong_settings  # noqa: E402  (needs the apps to be loaded)

refuse_wrong_settings()
