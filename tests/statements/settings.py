"""The project's settings for the tests' process and those that they start on the real stack: with
the recorder, and patient with the Redis that they share.
"""

import os

from config.settings import *  # noqa: F403
from tests.statements.recorder import start_recording

start_recording()
if os.environ["SHARED_REDIS_URL"] == REDIS_URL:  # noqa: F405
    # It is well: what is late there is this machine. One that a test breaks has another URL.
    CACHES["default"]["OPTIONS"].update(SOCKET_TIMEOUT=30, SOCKET_CONNECT_TIMEOUT=30)  # noqa: F405
