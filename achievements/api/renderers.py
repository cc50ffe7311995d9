"""JSON out by orjson; a face."""

from rest_framework.renderers import JSONRenderer


class OrjsonRenderer(JSONRenderer):
    pass
