"""What a number on the command line may be (face)."""

from argparse import ArgumentTypeError
from collections.abc import Callable


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Return a type for add_argument that names its bounds when it refuses."""

    def read(text: str) -> int:
        # Longer ones are beyond every bound, and may be more than Python reads.
        value = int(text) if len(text) <= 20 and text.removeprefix("-").isdecimal() else None
        if value is None or not low <= value <= high:
            raise ArgumentTypeError(f"must be a whole number from {low} to {high}.")
        return value

    return read


PORT = whole_number(1, 65_535)
