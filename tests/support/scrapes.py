"""What a scrape shows: samples of `/-/metrics` by name and labels."""

import subprocess
from collections import Counter
from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from gateway import Gateway
from gateway.metrics.catalogue import HOT, REQUESTS
from tests.support.server import Answer

Labels = frozenset[tuple[str, str]]


class Scrape:
    """The samples of one answer."""

    def __init__(self, text: str) -> None:
        """Raises: ValueError, if the text is not in the format."""
        self.text = text
        self.types: dict[str, str] = {}
        """Of each family, by the names of its samples."""
        self.samples: dict[tuple[str, Labels], float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self.types[sample.name] = family.type
                self.samples[sample.name, frozenset(sample.labels.items())] = sample.value

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples with this name and these labels, others left out."""
        wanted = labels.items()
        return sum(
            value
            for (sample, given), value in self.samples.items()
            if sample == name and wanted <= set(given)
        )

    def rising(self) -> dict[tuple[str, Labels], float]:
        """The samples that must never fall: counters, and buckets, counts and sums."""
        return {
            sample: value
            for sample, value in self.samples.items()
            if self.types[sample[0]] in ("counter", "histogram")
        }


def scrape(ask: Callable[[str], Answer]) -> Scrape:
    """`ask` sends a GET, for example to one worker."""
    answer = ask("/-/metrics")
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    return Scrape(answer.body.decode())


def promtool_says(promtool: str, text: str) -> str:
    """What `promtool check metrics` finds; empty: nothing, not even a warning."""
    result = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    return result.stdout + result.stderr or "0" * result.returncode


def hot_answers(gateway: Gateway) -> "Counter[int]":
    """Requests that a gateway in this process answered on the hot path so far, by status."""
    totals = gateway.core.metrics.table.totals()
    counted: Counter[int] = Counter()
    for route, status, path in totals.shown(REQUESTS):
        if path == HOT:
            counted[int(status)] += int(totals.value(REQUESTS, route, status, path))
    return counted
