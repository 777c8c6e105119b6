"""The entries of real builds; builds/README.md says how each was made."""

from functools import cache
from pathlib import Path

BUILDS = Path(__file__).parent / "builds"
NAMES = sorted(path.stem for path in BUILDS.glob("*.js"))


@cache
def build(name: str) -> str:
    return (BUILDS / f"{name}.js").read_text()
