"""The database is gone for a minute, and users who were here a moment ago ask on."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load.open_loop import one_of_each, open_loop, poisson
from benchmarks.subjects import Asking
from benchmarks.users import uniform

_RATE = 200


async def ask_through_outage(
    port: int, database: Path, askings: Sequence[Asking], duration_s: float
) -> Counter[int]:
    """Answers by status, of `duration_s` without the file `database`, after each user was warm."""
    await open_loop(port, one_of_each([asking.request for asking in askings], _RATE))
    choose = uniform(len(askings))
    with _away(database):
        answered = await open_loop(
            port, poisson(_RATE, duration_s, lambda: ("file", askings[choose()].request))
        )
    return Counter(each.status for each in answered)


@contextmanager
def _away(file: Path) -> Iterator[None]:
    elsewhere = file.with_name(f"{file.name}.away")
    file.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(file)
