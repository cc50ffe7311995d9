"""Achievements: criteria, progress and unlocks of users known by their id alone."""
