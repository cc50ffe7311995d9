"""The site's settings with a tap on the consumer: nothing else is changed."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "bench.tap.TapConfig"]
