"""Caches that hold values for a time."""
