"""The command line of a bench that has parts and sizes."""

import argparse
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

Sizes = TypeVar("Sizes")


def read_arguments(
    *, prog: str, description: str, parts: Sequence[str], quick: Sizes
) -> tuple[Sizes, list[str]]:
    """Return the sizes, `quick` with --quick, and the parts asked for, in their own order.

    The class of `quick` is a dataclass whose defaults are the full sizes; each has an option.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {prog}", description=description)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    parser.add_argument("--quick", action="store_true", help="a smoke: small sizes, one round")
    names = [field.name for field in fields(quick)]  # type: ignore[arg-type]
    for name in names:
        kind = type(getattr(quick, name))
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind)
    given: dict[str, Any] = vars(parser.parse_args())
    if set(given["parts"]) - set(parts):
        parser.error(f"name any of {', '.join(parts)}")
    default = quick if given["quick"] else type(quick)()
    chosen = {name: getattr(default, name) for name in names}
    chosen.update((name, given[name]) for name in names if given[name] is not None)
    return type(quick)(**chosen), [p for p in parts if p in given["parts"] or not given["parts"]]
