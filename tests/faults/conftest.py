"""What several of these modules ask for."""

import pytest


@pytest.fixture
def move(transactional_db, tmp_path):
    # Here, because this file is read before Django has its settings.
    from tests.faults.move import Move
    from tests.legacy import open_legacy_site

    with open_legacy_site() as site:
        yield Move(site, tmp_path)
