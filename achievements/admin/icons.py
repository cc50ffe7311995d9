"""The shipped icons (face): their names and addresses."""

from functools import cache
from pathlib import Path

from django.templatetags.static import static

import achievements

_FOLDER = "achievements/icons"


@cache
def list_icons() -> tuple[str, ...]:
    """Return the names of the icons that are shipped, in order."""
    folder = Path(achievements.__file__).parent / "static" / _FOLDER
    return tuple(sorted(path.stem for path in folder.glob("*.svg")))


def find_icon_url(name: str) -> str:
    """Return the address of an icon; empty where it is not one of ours.

    Hashed static files raise on a name that is not in their manifest, and a definition from a
    file may name an icon of the host site.
    """
    return static(f"{_FOLDER}/{name}.svg") if name in list_icons() else ""
