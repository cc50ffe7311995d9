"""Profiles: test results, users' pages and their API; stands on achievements."""
