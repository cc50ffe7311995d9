"""The HTTP face of achievements."""
