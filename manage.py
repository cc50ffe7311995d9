#!/usr/bin/env python
"""The command line of the project."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        from django.core.management import execute_from_command_line

        from config.environment import SettingError
    except ImportError as error:
        raise SystemExit(
            "Django is not installed in this Python: use .venv/bin/python (`make run` creates it)."
        ) from error
    try:
        execute_from_command_line(sys.argv)
    except SettingError as error:
        raise SystemExit(f"{error}") from None  # it says all that there is to mend


if __name__ == "__main__":
    main()
