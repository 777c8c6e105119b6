"""Reads: what a request is answered from."""
