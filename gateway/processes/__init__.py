"""`gateway serve`: its processes."""
