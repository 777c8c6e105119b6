"""How the bytes of a plan leave. An open set: one way, one file."""
