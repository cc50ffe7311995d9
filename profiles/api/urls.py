"""Addresses of the profiles API; a face."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
