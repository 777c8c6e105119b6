"""What is shown at the end: a table of figures, what disturbed them, what was skipped or failed."""

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.record import Figure, Record, Table
from benchmarks.running import spread_text
from benchmarks.serve.contestants import CONTESTANTS, bare
from benchmarks.serve.figures import BUSY, QUIET, Figures, Summary

_LIMITED = "*"
_ABOUT = {bare.NAME: bare.ABOUT, **{each.name: each.about for each in CONTESTANTS}}


def note(
    record: Record,
    cells: Sequence[object],
    figures: Figures,
    about: Mapping[str, str] = _ABOUT,
    reference: str = bare.NAME,
) -> None:
    """Adds all but the verdicts. `about`: of each server; ratios are those to `reference`."""
    summaries = [
        (cell, summary) for cell in cells for summary in figures.summaries(cell, reference)
    ]
    record.tables.append(_figure_table(summaries, reference))
    record.figures += _rounds(cells, figures)
    if any(summary.short_of_core for _, summary in summaries):
        record.remark(
            f"{_LIMITED} the server had less than {BUSY:.0%} of its core: the load generator was"
            " the limit, or other processes were."
        )
    disturbed = sum(each.disturbed for each in figures.counted)
    if disturbed:
        record.remark(
            f"{disturbed} of {len(figures.counted)} measurements were disturbed: other processes"
            f" took more than {QUIET:.0%} of a core. They count only where there is no other"
            " (?), and then for no verdict."
        )
    for name in figures.servers:
        record.remark(f"{name}: {about[name]}")
    record.failures += [
        f"{failure.server}, {failure.cell}, round {failure.round_number}: {failure.reason}"
        for failure in figures.failures
    ]


def _rounds(cells: Sequence[object], figures: Figures) -> Iterator[Figure]:
    for cell in cells:
        for server in figures.servers:
            found = [each.report.requests_per_s for each in figures.of(server, cell)]
            if found:
                yield Figure(f"{cell}, {server}", "requests/s", found, more_is_better=True)


def _figure_table(summaries: Sequence[tuple[object, Summary]], reference: str) -> Table:
    rows = [
        [
            f"{cell}, {summary.server}",
            f"{summary.requests_per_s:,.0f}",
            f"{summary.p50_us / 1000:.2f}",
            f"{summary.p99_us / 1000:.2f}",
            f"{summary.cpu_us_per_request:,.1f}",
            f"{summary.busy:.0%}{_LIMITED if summary.short_of_core else ' '}",
            spread_text(summary.ratio) if summary.ratio else "",
            f"{summary.cpu_ratio.median:.3f}" if summary.cpu_ratio else "",
            f"{summary.hot_share.median:.0%}" if summary.hot_share else "",
        ]
        for cell, summary in summaries
    ]
    columns = (
        *("case, server", "requests/s", "p50 ms", "p99 ms", "CPU µs", "busy"),
        *(f"of {reference} [min-max]", "by CPU", "at once"),
    )
    return Table("Requests/s, medians over the undisturbed rounds", columns, rows)
