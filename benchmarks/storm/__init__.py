"""Everybody at once, everybody once a minute, and nobody."""
