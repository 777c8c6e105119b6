"""A bounded load in a process of its own: so many requests a second, whatever they take.

`python -m benchmarks.freshness.load`; a JSON line on stdin says what to ask. It ends with its
stdin, and prints how many answers it got, and how many were not 200.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from benchmarks.processes import HOST

_CONNECTIONS = 8


@contextmanager
def bounded_load(
    port: int, path: str, headers: Mapping[str, str], requests_per_s: int
) -> Iterator[dict[str, int]]:
    """While the block lasts; afterwards its dictionary holds `answers` and `others`."""
    report = {"answers": 0, "others": 0}
    if not requests_per_s:
        yield report
        return
    task = {"port": port, "path": path, "headers": dict(headers), "requests_per_s": requests_per_s}
    with subprocess.Popen(  # noqa: S603 (a command of our own)
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no pipes")
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()
        try:
            yield report
        finally:
            process.stdin.close()
            report.update(json.loads(process.stdout.read() or "{}"))


async def _load(port: int, path: str, headers: dict[str, str], requests_per_s: int) -> None:
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n".encode()
    counted = {"answers": 0, "others": 0}
    loop = asyncio.get_running_loop()
    every_s = _CONNECTIONS / requests_per_s

    async def repeat(number: int) -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        due = loop.time() + every_s * number / _CONNECTIONS
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            due = max(due + every_s, loop.time())  # what was missed is not made up for
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            counted["answers"] += 1
            counted["others"] += not head.startswith(b"HTTP/1.1 200 ")

    tasks = [asyncio.create_task(repeat(number)) for number in range(_CONNECTIONS)]
    ended = loop.run_in_executor(None, sys.stdin.read)
    await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(counted))  # noqa: T201 (the report)


if __name__ == "__main__":
    asyncio.run(_load(**json.loads(sys.stdin.readline())))
