"""Faults on purpose, for tests of crashes alone (storage floor): named places that FAILPOINT arms.

FAILPOINT=name:action, several divided by commas. Actions: `kill` (SIGKILL to this process),
`raise`, `sleep SECONDS`; a number after `kill` or `raise` is its chance. `name@12345:raise`
concerns that user only. Unset, a place costs one look at an empty table.
"""

import os
import random
import signal
import time
from typing import Final, NamedTuple

BEFORE_COMMIT: Final = "before_commit"  # everything is written, nothing committed
AFTER_COMMIT: Final = "after_commit"  # committed, no effect has run
APPLY_USER: Final = "apply_user"  # before a user's step is taken


class InjectedFault(Exception):
    """What `raise` raises: an error that no other code knows."""


class Fault(NamedTuple):
    action: str
    number: float | None = None
    user_id: int | None = None


def parse_failpoints(text: str) -> dict[str, Fault]:
    """Read FAILPOINT. Raises ValueError for what it does not understand."""
    faults = {}
    for part in filter(None, text.split(",")):
        place, separator, action = part.strip().partition(":")
        name, _, user_id = place.partition("@")
        verb, _, number = action.partition(" ")
        if not separator or verb not in ("kill", "raise", "sleep"):
            raise ValueError(f"FAILPOINT: {part!r} is not name[@user_id]:kill|raise|sleep NUMBER.")
        faults[name] = Fault(
            verb, float(number) if number else None, int(user_id) if user_id else None
        )
    return faults


armed: dict[str, Fault] = parse_failpoints(os.environ.get("FAILPOINT", ""))
# Not seeded: forked workers would all draw the same numbers.
_chance = random.SystemRandom()


def reach(name: str, *, user_id: int | None = None) -> None:
    """Do what is armed for this place, if anything is."""
    fault = armed.get(name)
    if fault is None or fault.user_id not in (None, user_id):
        return
    if fault.action == "sleep":
        time.sleep(fault.number or 0)
    elif fault.number is not None and _chance.random() >= fault.number:
        return
    elif fault.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        raise InjectedFault(f"{name} for user {user_id}" if user_id else name)
