"""Writes: installing, updating, publishing, collecting."""
