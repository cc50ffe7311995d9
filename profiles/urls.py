"""Addresses of the pages; a face."""

from django.urls import path

from profiles import views

app_name = "pages"

urlpatterns = [
    path("", views.show_home, name="home"),
    path("u/<int:user_id>", views.show_profile, name="profile"),
]
