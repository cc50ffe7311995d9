import json
import logging
from io import StringIO
from types import SimpleNamespace

import pytest
import structlog

from config import logs

CANARY = "canary-3f9a81"
TOKEN = f"eyJhbGciOiJIUzI1NiJ9.eyJ{CANARY}.c2ln"


@pytest.fixture
def written():
    """Log lines as production writes them."""
    settings = logs.build_logging(level="INFO", log_format="json")["formatters"]["structured"]
    make_formatter = settings.pop("()")
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(make_formatter(**settings))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel("INFO")
    yield stream.getvalue
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.parametrize(
    "fields",
    [
        {"password": CANARY},
        {"headers": {"Authorization": f"Bearer {CANARY}", "Cookie": CANARY}},
        {"api_key": CANARY},
        {"nested": [{"deep": {"client_secret": CANARY}}]},
        {"header": f"Api-Key {CANARY}"},
        {"url": f"mysql://laurel:{CANARY}@db:3306/laurel"},
        {"text": f"token was {TOKEN}"},
        {"query": f"page=2&token={CANARY}"},
        {"raw": f"Authorization: Bearer {CANARY}".encode()},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_secret_never_appears(written, fields) -> None:
    structlog.get_logger("test").info("something", **fields)
    line = written()
    assert logs.REDACTED in line
    assert CANARY not in line


def test_records_of_libraries_are_redacted_too(written) -> None:
    logging.getLogger("library").warning("connecting to %s", f"redis://:{CANARY}@cache:6379/0")
    record = json.loads(written())
    assert record["event"] == f"connecting to redis://:{logs.REDACTED}@cache:6379/0"
    assert record["level"] == "warning"


def test_tracebacks_are_redacted(written) -> None:
    try:
        raise ValueError(f"refused: Bearer {CANARY}")
    except ValueError:
        structlog.get_logger("test").exception("failed")
    record = json.loads(written())
    assert "ValueError" in record["exception"]
    assert CANARY not in json.dumps(record)


def test_what_fails_every_request_is_said_once_a_second(written, monkeypatch) -> None:
    now = 100.0
    monkeypatch.setattr(logs, "time", SimpleNamespace(monotonic=lambda: now))
    logger = logging.getLogger("test.cache")
    logger.addFilter(logs.OnceASecond())
    for _ in range(1000):
        logger.error("Exception ignored")
        logger.error("Something else")
    assert len(written().splitlines()) == 2
    now += 1
    logger.error("Exception ignored")
    assert json.loads(written().splitlines()[-1])["event"] == (
        "Exception ignored (and 999 times before)"
    )


def test_ordinary_fields_stay_as_they_are(written) -> None:
    structlog.get_logger("test").info("unlocked", user_id=12345, slugs=["fast"], ratio=0.5)
    record = json.loads(written())
    assert (record["user_id"], record["slugs"], record["ratio"]) == (12345, ["fast"], 0.5)
    assert record["event"] == "unlocked"
