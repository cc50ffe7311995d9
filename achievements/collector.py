"""Python's garbage collector in a process that works through batches (transports floor)."""

import gc
from typing import Final

COLLECT_EVERY_OBJECTS: Final = 50_000


def rest_collector() -> None:
    """Let the collector look less often, and never at what was loaded to stay.

    A batch makes thousands of lists and frees them by itself: by default they would have
    the collector walk over everything several times a batch, a fifth of all the work.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY_OBJECTS, 10, 10)
