"""Reads what a PromQL expression names, and says what of it the gateway does not have."""

import re
from collections.abc import Iterator, Mapping, Sequence

from gateway.metrics.catalogue import FAMILIES, Family, Kind

ANY: Sequence[str] = ()
"""A label may have any value."""
_TARGET = {"job": ANY, "instance": ANY}
"""Labels that Prometheus adds to all series."""
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right) *\(([^)]*)\)")
_SELECTOR = re.compile(r"\b([A-Za-z_]\w*)\b(?! *\()(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+) *(=~|!~|!=|=) *"([^"]*)"')
_WORDS = {"and", "or", "unless", "offset", "bool"}


def _series_of(family: Family) -> Iterator[tuple[str, Mapping[str, Sequence[str]]]]:
    labels = {**family.labels, **_TARGET}
    if family.kind is Kind.HISTOGRAM:
        yield f"{family.name}_bucket", {**labels, "le": ANY}
        yield f"{family.name}_count", labels
        yield f"{family.name}_sum", labels
    else:
        yield family.name, labels


SERIES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "up": _TARGET,
    **{name: labels for family in FAMILIES for name, labels in _series_of(family)},
}
"""The labels of each name, and all of their values."""


def selectors(expression: str) -> Iterator[tuple[str, str]]:
    """Names of series, and what stands in their braces."""
    for match in _SELECTOR.finditer(_GROUPING.sub("", re.sub(r"\[[^]]*\]", "", expression))):
        if match[1] not in _WORDS:
            yield match[1], match[2] or ""


def unknown_in(expression: str) -> list[str]:
    """Names, labels and values of labels that no series of the gateway has."""
    unknown = []
    known_labels = {"le"}
    for name, matchers in selectors(expression):
        labels = SERIES.get(name)
        if labels is None:
            unknown.append(name)
            continue
        known_labels |= set(labels)
        for label, operator, value in _MATCHER.findall(matchers):
            if label not in labels:
                unknown.append(f"{name}{{{label}}}")
            elif labels[label]:
                values = value.split("|") if "~" in operator else [re.escape(value)]
                unknown += [
                    f'{name}{{{label}="{one}"}}'
                    for one in values
                    if not any(re.fullmatch(one, listed) for listed in labels[label])
                ]
    grouping = {
        label.strip() for group in _GROUPING.findall(expression) for label in group.split(",")
    }
    return unknown + sorted(grouping - known_labels - {""})
