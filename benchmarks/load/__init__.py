"""Load generators. An open set: one program or library, one file.

Each keeps a fixed number of connections busy with one request (closed loop) and reports the same
fields, so `report.py` reads them all.
"""

from benchmarks.load import aiohttp_load, wrk
from benchmarks.load.generator import Generator


def choose_generator() -> Generator:
    """wrk where it is installed: it can outrun every server here. aiohttp otherwise."""
    return wrk.Wrk() if wrk.is_installed() else aiohttp_load.AiohttpLoad()
