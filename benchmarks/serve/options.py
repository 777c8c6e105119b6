"""What a run of `serve` measures, and how the command line says it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from benchmarks.running import output_option, quick_option
from benchmarks.serve.cells import CASES, KIB, MANIFEST, SIZES_BYTES, Cell
from benchmarks.serve.contestants import CONTESTANTS, bare

SERVERS = (bare.NAME, *(contestant.name for contestant in CONTESTANTS))
# Those that a promise is about.
_QUICK_SERVERS = tuple(name for name in SERVERS if name not in ("servestatic", "nginx"))
_ROUNDS = 5
_QUICK_ROUNDS = 1
_QUICK_SIZES_BYTES = (16 * KIB,)
_QUICK_CASES = ("identity", "304", MANIFEST.name)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    rounds: int
    duration_s: int
    patience_s: int
    cells: Sequence[Cell]
    servers: Sequence[str]
    output: Path


def choose_options(
    *,
    quick: bool,
    rounds: int | None,
    duration_s: int,
    patience_s: int,
    sizes_kib: Sequence[int] | None,
    case_names: Sequence[str] | None,
    servers: Sequence[str] | None,
    output: Path,
) -> Options:
    """None: all, or what `quick` leaves of it."""
    sizes_bytes: Sequence[int] = _QUICK_SIZES_BYTES if quick else SIZES_BYTES
    if sizes_kib is not None:
        sizes_bytes = [size * KIB for size in sizes_kib]
    if case_names is None:
        case_names = _QUICK_CASES if quick else [case.name for case in (*CASES, MANIFEST)]
    cases = [case for case in CASES if case.name in case_names]
    cells = [Cell(size, case) for case in cases for size in sizes_bytes]
    if MANIFEST.name in case_names:
        cells.append(Cell(0, MANIFEST))
    return Options(
        rounds=rounds or (_QUICK_ROUNDS if quick else _ROUNDS),
        duration_s=duration_s,
        patience_s=patience_s,
        cells=cells,
        servers=(_QUICK_SERVERS if quick else SERVERS) if servers is None else servers,
        output=output,
    )


def _listed(parse: Callable[[str], T], allowed: Sequence[T]) -> Callable[..., list[T] | None]:
    """A click callback: a list separated by commas, each one of `allowed`, in their order."""

    def read(_ctx: click.Context, _param: click.Parameter, text: str | None) -> list[T] | None:
        if text is None:
            return None
        try:
            chosen = [parse(item.strip()) for item in text.split(",")]
        except ValueError:
            chosen = []
        if not chosen or any(each not in allowed for each in chosen):
            raise click.BadParameter(f"{text!r}: expected some of {', '.join(map(str, allowed))}")
        return [each for each in allowed if each in chosen]

    return read


_MEASURING_OPTIONS = (
    click.option(
        "--rounds", type=click.IntRange(1), help="Times that everything is measured; 5, quick 1."
    ),
    click.option(
        "--duration",
        "duration_s",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Seconds of each measurement.",
    ),
    click.option(
        "--patience",
        "patience_s",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="Seconds to spend on making measurements again that other processes disturbed.",
    ),
    click.option(
        "--sizes",
        "sizes_kib",
        metavar="KIB,…",
        callback=_listed(int, [size // KIB for size in SIZES_BYTES]),
        help="Files, in KiB: 1,16,128,1024; all, quick 16.",
    ),
    click.option(
        "--cases",
        "case_names",
        metavar="CASE,…",
        callback=_listed(str, [case.name for case in (*CASES, MANIFEST)]),
        help="Answers: identity,br,304,manifest; all, quick without br.",
    ),
    quick_option("Half a minute, to see that it works."),
    output_option,
)


_SERVERS_OPTION = click.option(
    "--servers",
    metavar="NAME,…",
    callback=_listed(str, SERVERS),
    help=f"{','.join(SERVERS)}; all, quick {','.join(_QUICK_SERVERS)}. The gateway always.",
)


def measuring_options(command: Callable[..., None]) -> Callable[..., None]:
    """A decorator: `command` gets what `choose_options` wants, by name, but for the servers."""
    for option in reversed(_MEASURING_OPTIONS):
        command = option(command)
    return command


def serve_options(command: Callable[..., None]) -> Callable[..., None]:
    """A decorator: `command` gets all of it."""
    return measuring_options(_SERVERS_OPTION(command))
