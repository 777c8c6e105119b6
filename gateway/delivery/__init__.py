"""How the bytes leave. An open set: one mode, one file."""
