"""The tests of the engine, the outbox, rebuilds and transactions once more."""

import pytest

from tests.achievements.test_engine import *  # noqa: F403
from tests.achievements.test_outbox import *  # noqa: F403
from tests.achievements.test_rebuild import *  # noqa: F403
from tests.achievements.test_tables import *  # noqa: F403
from tests.achievements.test_transactions import *  # noqa: F403

marks = [pytest.mark.real, pytest.mark.django_db(transaction=True)]
globals()["pytestmark"] = marks  # in place of those that came with the tests

del test_user_tables_are_partitioned_by_user  # noqa: F821
