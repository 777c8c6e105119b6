"""Functions in a process of their own: memory that nobody used before, hooks that end with it."""

import multiprocessing
from collections.abc import Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

from benchmarks.cores import pinned_to
from benchmarks.loop import run

T = TypeVar("T")


def in_fresh_process(
    core: int, function: Callable[..., Coroutine[Any, Any, T]], *arguments: Any
) -> T:
    """What the coroutine function returns, run on `core`. Blocking; raises what it raises.

    Function, arguments and result travel by pickle.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool, pinned_to(core):
        return pool.submit(_run, function, arguments).result()


def _run(function: Callable[..., Coroutine[Any, Any, T]], arguments: tuple[Any, ...]) -> T:
    return run(function(*arguments))
