"""The WSGI application: REST, pages and admin."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()

from config.checks import refuse_wrong_settings  # noqa: E402  (needs the apps to be loaded)

refuse_wrong_settings()
