"""The HTTP face of profiles."""
