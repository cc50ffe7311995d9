"""The project's settings, with the recorder: for the tests' process and those that they start."""

from config.settings import *  # noqa: F403
from tests.statements.recorder import start_recording

start_recording()
