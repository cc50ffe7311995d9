"""Addresses of the achievements API; a face."""

from importlib.util import find_spec

from django.urls import URLPattern, path

urlpatterns: list[URLPattern] = []
if find_spec("achievements.selectors") and find_spec("achievements.outbox"):  # pragma: no cover
    from achievements.api.catalogue import CatalogueView, DefinitionView
    from achievements.api.events import EventsView

    urlpatterns = [
        path("events", EventsView.as_view(), name="events"),
        path("achievements", CatalogueView.as_view(), name="catalogue"),
        path("achievements/<slug:slug>", DefinitionView.as_view(), name="definition"),
    ]
