"""Measurements of the promises that docs make in numbers: `python -m benchmarks --help`."""
