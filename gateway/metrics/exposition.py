"""Totals in the Prometheus text format, version 0.0.4
(prometheus.io/docs/instrumenting/exposition_formats).
"""

from collections.abc import Iterator, Mapping
from itertools import accumulate

from gateway.metrics.catalogue import BOUNDS_S, FAMILIES, Family, Kind
from gateway.metrics.table import Totals

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_BOUNDS = (*map(str, BOUNDS_S), "+Inf")
_TYPES = {Kind.MAXIMUM: "gauge", Kind.CONSTANT: "gauge"}


def render(totals: Totals, constants: Mapping[Family, Mapping[str, str]]) -> str:
    """`constants`: the labels of families that have no row.

    No value of a label is escaped: none has a quote, a backslash or the end of a line.
    """
    return "".join(
        line + "\n" for family in FAMILIES for line in _lines(family, totals, constants.get(family))
    )


def _lines(family: Family, totals: Totals, constant: Mapping[str, str] | None) -> Iterator[str]:
    """Nothing, if there is no series to show."""
    samples = [] if constant is None else [_sample(family.name, constant, 1.0)]
    for values in totals.shown(family):
        labels = dict(zip(family.labels, values, strict=True))
        if family.kind is Kind.HISTOGRAM:
            samples += _buckets(family, totals, labels)
        else:
            samples.append(_sample(family.name, labels, totals.value(family, *values)))
    if samples:
        yield f"# HELP {family.name} {family.help}"
        yield f"# TYPE {family.name} {_TYPES.get(family.kind, family.kind.value)}"
        yield from samples


def _buckets(family: Family, totals: Totals, labels: Mapping[str, str]) -> Iterator[str]:
    """The count is that of the last bucket: it cannot contradict the buckets."""
    counts, sum_s = totals.distribution(family, *labels.values())
    cumulated = list(accumulate(counts))
    for bound, count in zip(_BOUNDS, cumulated, strict=True):
        yield _sample(f"{family.name}_bucket", {**labels, "le": bound}, count)
    yield _sample(f"{family.name}_sum", labels, sum_s)
    yield _sample(f"{family.name}_count", labels, cumulated[-1])


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    inner = ",".join(f'{label}="{text}"' for label, text in labels.items())
    return f"{name}{{{inner}}} {value}" if inner else f"{name} {value}"
