"""What several of these modules ask for."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from achievements import seen


@pytest.fixture(scope="module")
def small_ring() -> Iterator[None]:
    """A ring of four ids makes a dozen tests reach the archive."""
    with patch.multiple(seen, RING_IDS=4, KEPT_IDS=2):
        yield
