"""GET /achievements: the catalogue with rarity, for everybody; a face."""

from django.http import HttpRequest

from achievements.api.documents import Caller, DocumentView
from achievements.api.problems import refuse_unknown
from achievements.api.schema import ANYBODY, SLUG, describe
from achievements.api.shapes import Catalogue, Definition
from achievements.documents import Document
from achievements.shown import fetch_catalogue, fetch_definition

MAX_SLUG_LENGTH = 64


class _CatalogueDocumentView(DocumentView):
    cache_control = "public, max-age=60"


class CatalogueView(_CatalogueDocumentView):
    shape = Catalogue

    @describe(
        name="catalogue_list",
        summary="Every achievement that can be unlocked",
        auth=ANYBODY,
        answer=Catalogue,
        problems=(401,),
        has_etag=True,
    )
    def get(self, request: HttpRequest, caller: Caller) -> Document:
        """Rarity is at most five minutes old. What is hidden is masked for everybody."""
        return fetch_catalogue()


class DefinitionView(_CatalogueDocumentView):
    shape = Definition

    @describe(
        name="catalogue_read",
        summary="One achievement",
        auth=ANYBODY,
        answer=Definition,
        parameters=[SLUG],
        problems=(401, 404),
        has_etag=True,
    )
    def get(self, request: HttpRequest, caller: Caller, slug: str) -> Document:
        """Rarity is at most five minutes old. What is hidden is masked for everybody."""
        if len(slug) > MAX_SLUG_LENGTH:
            raise refuse_unknown()
        try:
            return fetch_definition(slug)
        except LookupError:
            raise refuse_unknown() from None
