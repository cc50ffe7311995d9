"""Addresses of the achievements API; a face."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
