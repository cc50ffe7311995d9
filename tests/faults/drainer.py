"""A process that drains the outbox in children of its own, and starts another when one dies.

What a Celery pool does, without its second of patience: dozens of kills in a few seconds.
Usage: FAILPOINT=... python -m tests.faults.drainer LOG; it stops when its input is closed and the
outbox is empty. Each child that was killed leaves a line in LOG, so a test can go on until
enough were: how often a commit comes depends on the machine.
"""

import os
import select
import signal
import sys
import time

REST = 3


def drain() -> int:
    """The child: its connections are its own. Returns REST when rows are left.

    Those of one that was killed are locked until the server has seen it go, and are passed over.
    """
    from django.db import connections

    from achievements.models import Outbox
    from achievements.outbox import drain_outbox

    for connection in connections.all():
        connection.inc_thread_sharing()
        connection.connection = None
    drain_outbox()
    return REST if Outbox.objects.filter(failed_at=None).exists() else 0


def main() -> None:
    import django

    django.setup()
    while True:
        # Asked before draining: what comes later is for the next child.
        is_over = bool(select.select([sys.stdin], [], [], 0)[0])
        child = os.fork()
        if not child:
            os._exit(drain())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == -signal.SIGKILL:
            with open(sys.argv[1], "a") as log:
                log.write("killed\n")
        elif code not in (0, REST):
            print("a child failed", code)
            sys.exit(1)
        elif is_over and code != REST:
            break
        else:
            time.sleep(0.01)


if __name__ == "__main__":
    main()
