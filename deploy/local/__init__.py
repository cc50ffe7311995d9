"""Starts real servers on this machine without Docker; knows nothing of Django."""
