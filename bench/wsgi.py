"""The site with two addresses more: the baseline of the display bench, and its counts of fills."""

# First, because it loads the apps that the others need.
from config.wsgi import application  # isort: skip

from django.urls import path

from bench.drf_profile import ProfileView
from bench.fills import count_fills, show_fills
from config.urls import urlpatterns

urlpatterns.insert(0, path("bench/users/<int:user_id>/achievements", ProfileView.as_view()))
urlpatterns.insert(0, path("bench/fills", show_fills))
count_fills()

__all__ = ["application"]
