"""Tells when messages arrive: python -m bench.listener REDIS_URL, channels on standard input.

A process of its own, because streams are: what it costs to receive must not slow the sender down.
It says `ready`, then for each message its channel and the time (time.perf_counter, which is one
clock for all processes). It ends when nothing has come for ten seconds.
"""

import sys
import time
from typing import Final

import redis

SILENCE_SECONDS: Final = 10


def main() -> None:
    channels = sys.stdin.readline().split()
    with redis.Redis.from_url(sys.argv[1]).pubsub(ignore_subscribe_messages=True) as subscriber:
        subscriber.subscribe(*channels)
        for _ in channels:  # each subscription is acknowledged
            subscriber.get_message(timeout=1)
        print("ready", flush=True)
        while message := subscriber.get_message(timeout=SILENCE_SECONDS):
            print(message["channel"].decode(), time.perf_counter(), flush=True)


if __name__ == "__main__":
    main()
