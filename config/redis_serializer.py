"""How values are written in Redis: ready bytes as they are, anything else as marked JSON.

Never pickle: whoever could write to Redis could then run code here.
"""

from typing import Any

import orjson
from django_redis.serializers.base import BaseSerializer

# Documents are JSON text and never begin with a zero byte.
JSON_MARK = b"\x00j"
BYTES_MARK = b"\x00b"


class DocumentSerializer(BaseSerializer):  # type: ignore[misc]
    """Keeps bytes readable to other programs; django-redis itself writes whole numbers as text.

    For the same reason bytes that spell a whole number come back as that number: store documents.
    """

    def dumps(self, value: Any) -> bytes:
        if isinstance(value, bytes):
            return BYTES_MARK + value if value.startswith(b"\x00") else value
        return JSON_MARK + orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)

    def loads(self, value: bytes) -> Any:
        if value.startswith(JSON_MARK):
            return orjson.loads(value[len(JSON_MARK) :])
        if value.startswith(BYTES_MARK):
            return value[len(BYTES_MARK) :]
        return value
