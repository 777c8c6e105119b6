"""The table and the plot of measurements, and remarks on what disturbed them."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.benchmark import spread_text
from benchmarks.figures import spread_of
from benchmarks.record import Draw, Figure, Record, Table
from benchmarks.serve.cells import Cell, size_text
from benchmarks.serve.contestants import ABOUT, BARE, GATEWAY
from benchmarks.serve.rounds import BUSY, QUIET, Measurement, Measurements

_LIMITED = "*"


def note(
    record: Record,
    cases: Sequence[object],
    measurements: Measurements,
    about: Mapping[str, str] = ABOUT,
    reference: str = BARE,
) -> None:
    """Adds all but the verdicts. about: of each server; ratios are those to `reference`."""
    rows = [
        _row(case, server, measurements, reference)
        for case in cases
        for server in measurements.servers_in(case)
    ]
    columns = (
        *("case, server", "requests/s", "p50 ms", "p99 ms", "CPU µs", "busy"),
        *(f"of {reference} [min-max]", "by CPU", "at once"),
    )
    title = "Requests/s, medians over the undisturbed rounds"
    record.tables.append(Table(title, columns, rows))
    record.figures += _figures(cases, measurements)
    record.details["rounds"] = _rounds(measurements)
    if any(_LIMITED in cell for row in rows for cell in row[1:]):
        record.remark(
            f"{_LIMITED} the server had less than {BUSY:.0%} of its core: the load generator was"
            " the limit, or other processes were."
        )
    if disturbed := sum(measurement.disturbed for measurement in measurements.counted):
        record.remark(
            f"{disturbed} of {len(measurements.counted)} measurements were disturbed: other"
            f" processes took more than {QUIET:.0%} of a core. They count only where there is no"
            " other (?), and then for no verdict."
        )
    for name in measurements.servers:
        record.remark(f"{name}: {about[name]}")
    record.failures += map(str, measurements.failures)


def plot_by_size(record: Record, cells: Sequence[Cell], measurements: Measurements) -> None:
    """Requests/s by size, a panel for each case; bars from the slowest to the fastest round."""
    of_files = [cell for cell in cells if cell.size_bytes]
    cases = list(dict.fromkeys(cell.case.name for cell in of_files))
    sizes = sorted({cell.size_bytes for cell in of_files})

    def panel(case: str) -> Draw:
        def draw(axes: Any) -> None:
            of_case = [cell for cell in of_files if cell.case.name == case]
            for number, server in enumerate(measurements.servers):
                _draw_server(axes, server, f"C{number}", of_case, measurements)
            axes.set(title=case, xscale="log", yscale="log", ylabel="requests/s, one core")
            axes.set_xticks(sizes, [size_text(size) for size in sizes])
            axes.minorticks_off()
            axes.legend(fontsize=7)

        return draw

    record.plot("serve", "Requests/s by size of the file", *map(panel, cases), height=4.4)


def _draw_server(
    axes: Any, server: str, color: str, cells: Sequence[Cell], measurements: Measurements
) -> None:
    points = [
        (cell.size_bytes, spread)
        for cell in cells
        if (spread := spread_of(_requests_per_s(measurements, server, cell)))
    ]
    if not points:
        return
    axes.errorbar(
        [size for size, _ in points],
        [spread.median for _, spread in points],
        yerr=[
            [spread.median - spread.low for _, spread in points],
            [spread.high - spread.median for _, spread in points],
        ],
        marker="o",
        markersize=4,
        capsize=2,
        linewidth=2.5 if server == GATEWAY else 1,
        linestyle="--" if server == BARE else "-",
        color=color,
        label=server,
    )


def _requests_per_s(measurements: Measurements, server: str, case: object) -> list[float]:
    return [measurement.report.requests_per_s for measurement in measurements.of(server, case)]


def _figures(cases: Sequence[object], measurements: Measurements) -> Iterator[Figure]:
    for case in cases:
        for server in measurements.servers:
            rounds = _requests_per_s(measurements, server, case)
            if rounds:
                yield Figure(f"{case}, {server}", "requests/s", rounds, more_is_better=True)


def _row(case: object, server: str, measurements: Measurements, reference: str) -> Sequence[str]:
    """Medians over the undisturbed rounds of a server in a case."""
    measured = measurements.of(server, case)

    def median(value: Callable[[Measurement], float]) -> float:
        return statistics.median(map(value, measured))

    busy = median(lambda measurement: measurement.busy)
    ratio = measurements.ratio(server, reference, case)
    cpu_ratio = measurements.cpu_ratio(server, reference, case)
    hot_shares = [
        measurement.hot_share for measurement in measured if measurement.hot_share is not None
    ]
    return (
        f"{case}, {server}",
        f"{median(lambda measurement: measurement.report.requests_per_s):,.0f}",
        f"{median(lambda measurement: measurement.report.p50_us) / 1000:.2f}",
        f"{median(lambda measurement: measurement.report.p99_us) / 1000:.2f}",
        f"{median(lambda measurement: measurement.cpu_us_per_request):,.1f}",
        f"{busy:.0%}{_LIMITED if busy < BUSY else ' '}",
        spread_text(ratio) if ratio else "",
        f"{cpu_ratio.median:.3f}" if cpu_ratio else "",
        f"{statistics.median(hot_shares):.0%}" if hot_shares else "",
    )


def _rounds(measurements: Measurements) -> list[dict[str, Any]]:
    """Every measurement, so that anyone can compute anew."""
    return [
        {
            "server": measurement.server,
            "cell": str(measurement.case),
            "round": measurement.round_number,
            **asdict(measurement.report),
            "requests_per_s": round(measurement.report.requests_per_s, 1),
            "server_cpu_s": round(measurement.cpu_s, 3),
            "others_cpu_s": round(measurement.others_s, 3),
            "disturbed": measurement.disturbed,
        }
        for measurement in measurements.counted
    ]
