"""GET /achievements: the catalogue with rarity, for everybody; a face."""

from django.http import HttpRequest

from achievements import cache
from achievements.api.documents import Caller, DocumentView
from achievements.api.problems import refuse_unknown
from achievements.api.renderers import encode_json
from achievements.api.schema import ANYBODY, SLUG, describe
from achievements.api.shapes import Catalogue, Definition
from achievements.documents import Document, Stamp, fetch_document
from achievements.rulebooks import get_rulebook
from achievements.selectors import read_catalogue, read_definition

MAX_SLUG_LENGTH = 64


class _CatalogueDocumentView(DocumentView):
    cache_control = "public, max-age=60"

    def fetch(self, name: str, slug: str | None = None) -> Document:
        return fetch_document(
            name,
            ttl_seconds=cache.DEFINITION_TTL_SECONDS,
            fresh_seconds=cache.CATALOGUE_FRESH_SECONDS,
            edition=get_rulebook().version,
            # A publication is a new edition; nothing else makes these documents wrong.
            read_stamp=lambda: Stamp(0),
            build=lambda: _build(slug),
        )


def _build(slug: str | None) -> bytes:
    document = read_catalogue() if slug is None else read_definition(slug)
    if document is None:
        raise refuse_unknown()
    return encode_json(document)


class CatalogueView(_CatalogueDocumentView):
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
        return self.fetch(cache.CATALOGUE)


class DefinitionView(_CatalogueDocumentView):
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
        return self.fetch(cache.name_definition(slug), slug)
