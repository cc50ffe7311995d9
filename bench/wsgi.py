"""The site with one address more: the baseline of the display bench, on the same server."""

# First, because it loads the apps that the others need.
from config.wsgi import application  # isort: skip

from django.urls import path

from bench.drf_profile import ProfileView
from config.urls import urlpatterns

urlpatterns.insert(0, path("bench/users/<int:user_id>/achievements", ProfileView.as_view()))

__all__ = ["application"]
