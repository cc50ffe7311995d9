"""Django's MySQL backend, with two things more (base.py)."""
