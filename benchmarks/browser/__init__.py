"""Page loads of a real browser over a shaped line."""
