"""The gateway's own counters, as `/-/metrics` tells them."""

from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.serve.probe import ask

HOT, COLD, QUERIES = "hot", "cold", "queries"
"""Answers given at once, and those that waited; questions to the database."""
_QUERIES = "gateway_database_queries_total"
_LOADED_BY_QUERY = ("versions", "manifest", "owners", "held_versions")


def read_counters(port: int) -> "Counter[str]":
    """Where queries are not counted, loads of caches that ask the database stand for them.

    Raises: OSError, http.client.HTTPException.
    """
    found: Counter[str] = Counter()
    text = ask(port, "/-/metrics", {}).content.decode()
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    counts_queries = any(each.name == _QUERIES for each in samples)
    for each in samples:
        if each.name == "gateway_requests_total":
            found[each.labels["path"]] += int(each.value)
        elif each.name == _QUERIES or (
            not counts_queries
            and each.name == "gateway_cache_events_total"
            and each.labels["cache"] in _LOADED_BY_QUERY
            and each.labels["event"] == "loads"
        ):
            found[QUERIES] += int(each.value)
    return found


def hot_share(before: "Counter[str]", after: "Counter[str]") -> float:
    """Of the answers between the two; those to `read_counters` itself are among them."""
    hot, cold = (after[path] - before[path] for path in (HOT, COLD))
    return hot / (hot + cold) if hot + cold else 0.0
