"""Cached documents: their names, their layout, their lifetimes."""

import gzip
from typing import Any

import pytest

from achievements import keys
from achievements.documents import (
    HEADER_LENGTH,
    Stamp,
    build_document,
    decode_document,
    encode_document,
)


def test_the_names_are_the_documented_ones() -> None:
    assert keys.name_achievements(12345) == "user:{12345}:achievements"
    assert keys.name_progress(12345) == "user:{12345}:achievement_progress"
    assert keys.name_live_progress(12345, 7) == "user:{12345}:achievement:7:progress"
    assert keys.name_recommended(12345) == "user:{12345}:recommended_achievements"
    assert keys.name_personal(12345) == "user:{12345}:personal_achievements"
    assert keys.name_definition("quick") == "achievement:quick"
    assert (keys.CATALOGUE, keys.RULEBOOK) == ("achievements:all", "achievements:rulebook")


@pytest.mark.parametrize("is_private", [True, False])
@pytest.mark.parametrize("revision", [0, 1, 2**62])
def test_the_layout_is_fixed_ascii_before_the_body(is_private: bool, revision: int) -> None:
    body = '{"name":"Löwe"}'.encode()
    document = build_document(body, stamp=Stamp(revision, is_private), edition=7)
    encoded = encode_document(document)
    assert len(encoded) == HEADER_LENGTH + len(body)
    assert encoded[:4] == (b"L2p-" if is_private else b"L2o-")
    assert encoded[HEADER_LENGTH - 1 :] == b"\n" + body
    assert decode_document(encoded) == document


def test_a_long_body_is_kept_as_gzip_and_its_etag_is_that_of_the_body() -> None:
    body = b'{"achievements":[' + b'{"slug":"quick"},' * 200 + b"]}"
    document = build_document(body, stamp=Stamp(1), edition=7)
    assert gzip.decompress(document.packed) == document.body == body
    encoded = encode_document(document)
    assert encoded[:4] == b"L2oz"
    assert len(encoded) < len(body) / 10
    assert decode_document(encoded) == document
    assert document.etag == build_document(body, stamp=Stamp(2), edition=8).etag


@pytest.mark.parametrize(
    "value", [None, b"", b"L2", b"L1" + b"0" * 90, b"L2o-" + b"z" * 90, b"lease:1", "text", 7, {}]
)
def test_anything_else_is_no_document(value: Any) -> None:
    assert decode_document(value) is None


def test_lifetimes_differ_and_never_exceed_what_was_asked() -> None:
    ends = {
        document.expires_at - document.built_at
        for document in (
            build_document(b"{}", stamp=Stamp(1), edition=1, ttl_seconds=3600) for _ in range(200)
        )
    }
    assert max(ends) <= 3600
    assert min(ends) >= 3600 * 0.9 - 1
    assert len(ends) > 50
