"""Log lines: structlog for our own and the libraries' records, with secrets redacted first."""

import logging.config
import re
import time
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"
SECRET_NAME = re.compile(
    r"authorization|cookie|passw|secret|token|api[-_]?key|jwt|credential|dsn|(^|_)key$", re.I
)
SECRET_TEXT = re.compile(
    r"(?P<scheme>\b(?:bearer|api-key|basic)\s+)[^\s,;'\"]+"
    r"|(?P<url>\b[a-z][a-z0-9+.-]*://[^\s:/@'\"]*:)[^\s/'\"]+(?=@)"
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]*"
    r"|(?P<pair>\b(?:password|secret|token|api_key)=)[^\s&,;'\"]+",
    re.I,
)
_PLAIN_NAMES = frozenset({"event", "level", "logger", "timestamp", "request_id", "idempotency"})


def redact_text(text: str) -> str:
    def replace(match: re.Match[str]) -> str:
        kept = match["scheme"] or match["url"] or match["pair"] or ""
        return kept + REDACTED

    return SECRET_TEXT.sub(replace, text)


def _redact_value(name: str, value: Any, depth: int = 0) -> Any:
    if name not in _PLAIN_NAMES and SECRET_NAME.search(name):
        return REDACTED
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, bytes):
        return redact_text(value.decode(errors="replace"))
    if isinstance(value, Mapping) and depth < 6:
        return {key: _redact_value(str(key), item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple) and depth < 6:
        return [_redact_value("", item, depth + 1) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact_text(str(value))


def redact_secrets(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """A processor; runs after tracebacks have become text and before anything is written."""
    return {
        name: value if name.startswith("_") else _redact_value(name, value)
        for name, value in event.items()
    }


_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
]


class OnceASecond(logging.Filter):
    """Lets a message of a logger pass once a second, with how often it was held back before.

    A cache that is away fails every request the same way: the tracebacks would cost more than
    the answers.
    """

    def __init__(self) -> None:
        super().__init__()
        self._passed: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not isinstance(record.msg, str):
            return True
        text, now = record.msg, time.monotonic()
        passed_at, held_back = self._passed.get(text, (-1.0, 0))
        if now - passed_at < 1:
            self._passed[text] = (passed_at, held_back + 1)
            return False
        self._passed[text] = (now, 0)
        if held_back:
            record.msg = f"{text} (and {held_back} times before)"
        return True


def build_logging(*, level: str, log_format: str) -> dict[str, Any]:
    """A dictConfig: everything to standard error, one line a record."""
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _SHARED,
                "processors": [
                    redact_secrets,
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    renderer,
                ],
            }
        },
        "filters": {"once_a_second": {"()": OnceASecond}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Replaces Django's own handlers: with both, every line would come twice.
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "level": level, "propagate": True},
            # The request middleware says the same with more context.
            "django.request": {"level": "CRITICAL"},
            # Scanners ask for hosts that are not ours all day: a 400 says it, without a traceback.
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            "kombu": {"level": "WARNING"},
            # Where django-redis says what it ignores.
            "config.cache": {"filters": ["once_a_second"]},
        },
    }


def configure_logging(config: dict[str, Any]) -> None:
    """Django's LOGGING_CONFIG: the standard library and structlog together."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(config)
