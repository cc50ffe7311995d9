"""Measurements: each contender beside its baseline, in one run and in alternation."""
