"""The average of the last N (pure floor): [best sum of N in a row, sum now, packed values].

The newest values are packed, five bytes each: a row is decoded for every event, and a
window of a hundred numbers would cost more than everything else in it.
"""

from typing import Any, Final

WIDTH: Final = 5  # holds ten million characters in thousandths


def add_value(value: list[Any], scaled: int, last: int) -> None:
    """Move the window on by one value, in whole thousandths and not negative."""
    packed = value[2] + scaled.to_bytes(WIDTH, "little")
    total = value[1] + scaled
    size = last * WIDTH
    if len(packed) > size:
        total -= int.from_bytes(packed[:WIDTH], "little")
        packed = packed[WIDTH:]
    value[1], value[2] = total, packed
    if total > value[0] and len(packed) == size:
        value[0] = total


def count_values(value: list[Any]) -> int:
    """Return how many values are in the window."""
    return len(value[2]) // WIDTH
