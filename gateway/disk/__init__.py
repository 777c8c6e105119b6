"""`plugins/` on disk."""
