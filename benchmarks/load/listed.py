"""wrk with requests from files, each as it stands (listed.lua): for load that is no repetition.

Each list has a thread of its own. With as many connections as lists, each connection sends one
list in its order and waits for each answer; one list over many connections is sent in nearly its
order, whichever connection is free.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path

from benchmarks.load.report import LoadReport
from benchmarks.load.wrk import run_wrk
from benchmarks.processes import HOST

_SCRIPT = Path(__file__).with_name("listed.lua")
# The answers that count are those of the script; wrk only may not end before.
_NO_LIMIT_S = 300


class Until(Enum):
    """What ends the load."""

    TIME = "again"
    """The lists are sent again and again."""
    FIRST_LIST_SENT = "once"
    """Or the time; no request is sent twice."""
    LAST_ANSWER = "all"
    """One list. The duration is that from the first request to the last answer."""


class RequestLists:
    """Lists of requests in files, one for each thread."""

    def __init__(self, folder: Path, lists: Sequence[Iterable[bytes]]) -> None:
        """Writes them; `folder` is made."""
        folder.mkdir(parents=True)
        self._folder = folder
        self._threads = len(lists)
        for number, requests in enumerate(lists):
            (folder / str(number)).write_bytes(b"".join(requests))

    def send(
        self, port: int, until: Until, connections: int, duration_s: int = _NO_LIMIT_S
    ) -> LoadReport:
        """Blocking. Raises: LoadFailed, also where any answer was an error."""
        arguments = [f"http://{HOST}:{port}/", "--", str(self._folder), until.value]
        return run_wrk(_SCRIPT, arguments, self._threads, connections, duration_s)
