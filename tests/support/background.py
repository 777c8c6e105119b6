"""Commands that go on until they are stopped, with all processes that they start."""

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import eventually


class Background:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.output: list[str] = []
        """Lines, as they come."""

    def wait_for(self, pattern: str, deadline_s: float, count: int = 1) -> str:
        """Until the pattern occurs so often in the output, which it returns.

        Raises: AssertionError, if the command ends before.
        """
        return eventually(
            lambda: "".join(self.output),
            lambda text: len(re.findall(pattern, text)) >= count or self._has_ended(text),
            deadline_s,
        )

    def _has_ended(self, text: str) -> bool:
        assert self._process.poll() is None, text
        return False


@contextmanager
def in_background(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[Background]:
    """Runs the command in the folder until the block ends."""
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    running = Background(process)
    lines = process.stdout or ()
    reader = threading.Thread(target=running.output.extend, args=(lines,), daemon=True)
    reader.start()
    try:
        yield running
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join()
        if process.stdout:
            process.stdout.close()
