"""Addresses of the achievements API; a face."""

from django.urls import path

from achievements.api.catalogue import CatalogueView, DefinitionView
from achievements.api.events import EventsView

urlpatterns = [
    path("events", EventsView.as_view(), name="events"),
    path("achievements", CatalogueView.as_view(), name="catalogue"),
    path("achievements/<slug:slug>", DefinitionView.as_view(), name="definition"),
]
