"""The tests of the relay that touch rows or its lock, once more."""

from tests.achievements.test_relay import (  # noqa: F401
    _kafka_transport,
    pytestmark,
    test_one_relay_works_and_the_other_takes_over,
    test_only_what_was_acknowledged_is_deleted,
    test_rows_are_published_in_order_and_leave,
)
