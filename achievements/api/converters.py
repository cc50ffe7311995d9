"""Ids in addresses: positive 64-bit integers without leading zeros; a face."""

from django.urls import register_converter

from achievements.events import MAX_ID


class IdConverter:
    regex = "[1-9][0-9]{0,18}"

    def to_python(self, value: str) -> int:
        number = int(value)
        if number > MAX_ID:
            raise ValueError(value)  # no address of ours: 404
        return number

    def to_url(self, value: int) -> str:
        return str(value)


register_converter(IdConverter, "id64")
