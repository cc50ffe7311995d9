"""Days in a row (pure floor): an exact set of local days, one bit each."""

from typing import Any, Final

SECONDS_A_DAY: Final = 86_400


def add_day(value: list[Any], day: int) -> None:
    """Add a local day to a streak: [longest, newest day, bits], bit n being newest day - n.

    The set of days is exact, so a late day fills its gap and joins what it lies between.
    """
    bits = int.from_bytes(value[2], "little")
    back = value[1] - day if bits else 0
    if bits and back >= 0:
        if bits >> back & 1:
            return
        bits |= 1 << back
    else:
        bits = bits << (day - value[1]) | 1 if bits else 1
        value[1] = day
        back = 0
    value[2] = bits.to_bytes((bits.bit_length() + 7) // 8, "little")
    value[0] = max(value[0], _length_of_run(bits, back))


def current_streak(value: list[Any]) -> int:
    """Return how many days in a row end with the newest day."""
    bits = int.from_bytes(value[2], "little")
    return _length_of_run(bits, 0) if bits else 0


def _length_of_run(bits: int, at: int) -> int:
    """How many ones in a row hold the bit `at`."""
    above = bits >> at
    older = (~above & (above + 1)).bit_length() - 1
    below = ~bits & ((1 << at) - 1)
    return older + at - below.bit_length()
