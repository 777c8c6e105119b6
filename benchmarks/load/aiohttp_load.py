"""aiohttp in a process of its own, where wrk is not installed.

It is slower than the servers: figures then show the order of rivals that are far apart, and
nothing about those that are close.
"""

import asyncio
import json
import statistics
import sys
import time
from collections import Counter

from benchmarks.load.generator import CONNECTIONS, Request


class AiohttpLoad:
    name = "aiohttp"
    can_outrun = False

    def arguments(self, request: Request, duration_s: int) -> list[str]:
        task = {"url": request.url, "headers": dict(request.headers), "duration_s": duration_s}
        return [sys.executable, "-m", __name__, json.dumps(task)]


async def _load(url: str, headers: dict[str, str], duration_s: float) -> dict[str, float]:
    import aiohttp  # noqa: PLC0415 (only this process needs it)

    latencies_s: list[float] = []
    counted: Counter[str] = Counter()
    started = time.perf_counter()

    async def repeat(session: aiohttp.ClientSession) -> None:
        while (sent := time.perf_counter()) < started + duration_s:
            try:
                async with session.get(url, headers=headers, allow_redirects=False) as answer:
                    content = await answer.read()
                    counted["received_bytes"] += len(content)
                    counted["status"] += answer.status >= 400
            except TimeoutError:
                counted["timeout"] += 1
            except aiohttp.ClientConnectorError:
                counted["connect"] += 1
            except aiohttp.ClientError:
                counted["read"] += 1
            else:
                latencies_s.append(time.perf_counter() - sent)

    async with aiohttp.ClientSession(
        auto_decompress=False,
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        timeout=aiohttp.ClientTimeout(total=10),
    ) as session:
        await asyncio.gather(*(repeat(session) for _ in range(CONNECTIONS)))
    elapsed_s = time.perf_counter() - started
    hundredths = statistics.quantiles(latencies_s, n=100) if len(latencies_s) > 1 else [0.0] * 99
    return {
        **dict.fromkeys(("received_bytes", "connect", "read", "write", "status", "timeout"), 0),
        **counted,
        "requests": len(latencies_s),
        "duration_us": round(elapsed_s * 1e6),
        "p50_us": hundredths[49] * 1e6,
        "p99_us": hundredths[98] * 1e6,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_load(**json.loads(sys.argv[1])))))  # noqa: T201 (the report)
