"""What the import of a former site, and its correction, ask of tables of users, once more."""

import pytest

from tests.achievements.test_import_corrections import *  # noqa: F403
from tests.achievements.test_import_legacy import *  # noqa: F403

globals()["pytestmark"] = [pytest.mark.real, pytest.mark.django_db(transaction=True)]
