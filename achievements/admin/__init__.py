"""The admin (face): definitions for editors, and look-ups for support.

The tables of users are never listed: with billions of rows, a page without a user id would
scan them. They are shown by user id alone, in the user look-up.
"""

from achievements.admin import achievement, outbox, publication, service_key, staff, user_lookup

__all__ = ["achievement", "outbox", "publication", "service_key", "staff", "user_lookup"]
