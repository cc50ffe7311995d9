"""Addresses of the pages; a face."""

from django.urls import path, re_path
from django.views.generic import RedirectView

from profiles import views

app_name = "pages"

urlpatterns = [
    path("", views.show_home, name="home"),
    path("u/<int:user_id>", views.show_profile, name="profile"),
    path("u/<int:user_id>/", RedirectView.as_view(pattern_name="pages:profile")),
    path("favicon.ico", views.show_icon),  # asked for by what reads no page, such as feed readers
    # Answered and not raised: in development Django would show every address of the project.
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    re_path("", views.show_not_found),
]
