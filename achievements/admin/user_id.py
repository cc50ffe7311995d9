"""A user id as staff type it (face)."""

from achievements.events import MAX_ID


def read_user_id(text: str) -> int | None:
    """Return the id, or None where the text is not a positive 64-bit whole number."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
        return None
    user_id = int(digits)
    return user_id if 1 <= user_id <= MAX_ID else None
