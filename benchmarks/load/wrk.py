"""wrk: one thread, one request made once, figures by its own Lua interface (wrk_report.lua)."""

import shutil
from pathlib import Path

from benchmarks.load.generator import CONNECTIONS, Request

_SCRIPT = Path(__file__).with_name("wrk_report.lua")


def is_installed() -> bool:
    return shutil.which("wrk") is not None


class Wrk:
    name = "wrk"
    can_outrun = True

    def arguments(self, request: Request, duration_s: int) -> list[str]:
        fields = [f"{name}: {value}" for name, value in request.headers.items()]
        return [
            *("wrk", "--threads", "1", "--connections", str(CONNECTIONS)),
            *("--duration", f"{duration_s}s", "--timeout", "10s", "--script", str(_SCRIPT)),
            *(part for field in fields for part in ("--header", field)),
            request.url,
        ]
