"""docs/how-to/monitoring: the alerts fire when they should, and speak of series that there are."""

import re
from typing import Any

import pytest
import yaml

from tests.support.prometheus import MONITORING, alert_rules, promtool, table_rows
from tests.support.promql import unknown_in

RULES = {rule["alert"]: rule for rule in alert_rules()}
CASES = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]

each_alert = pytest.mark.parametrize("alert", RULES)


def checks_of(alert: str) -> list[dict[str, Any]]:
    (case,) = (case for case in CASES if case["name"].partition(".")[0] == alert)
    checks: list[dict[str, Any]] = case["promql_expr_test"]
    assert {check["expr"] for check in checks} == {'ALERTS{alertstate="firing"}'}
    return checks


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "alerts.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_accepts(arguments: tuple[str, ...]) -> None:
    result = promtool(*arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "SUCCESS" in result.stdout


@each_alert
def test_an_alert_is_tried_where_it_fires_alone_and_where_nothing_fires(alert: str) -> None:
    outcomes = [check["exp_samples"] for check in checks_of(alert)]
    assert [] in outcomes
    fired = [sample for samples in outcomes for sample in samples]
    assert fired
    assert all(f'alertname="{alert}"' in sample["labels"] for sample in fired)


def test_no_case_is_of_an_alert_that_is_gone() -> None:
    assert {case["name"].partition(".")[0] for case in CASES} == set(RULES)


@each_alert
def test_an_alert_names_series_and_labels_of_the_catalogue(alert: str) -> None:
    assert unknown_in(RULES[alert]["expr"]) == []


@each_alert
def test_an_alert_says_what_is_wrong_and_in_one_sentence_what_to_do(alert: str) -> None:
    rule = RULES[alert]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "action"}
    assert re.fullmatch(r"[A-Z][^.]*(\.[^ ][^.]*)*\.", rule["annotations"]["action"])
    assert rule["annotations"]["summary"].endswith(".")


@each_alert
def test_the_page_says_the_same_of_an_alert(alert: str) -> None:
    rule = RULES[alert]
    (row,) = (cells for cells in table_rows(4) if cells[0] == f"`{alert}`")
    _, severity, _, action = row
    assert severity == rule["labels"]["severity"]
    assert action == " ".join(rule["annotations"]["action"].split())


def test_the_page_has_no_alert_that_is_gone() -> None:
    described = [cells[0].strip("`") for cells in table_rows(4) if cells[0].startswith("`")]
    assert described == list(RULES)


@each_alert
def test_the_text_of_an_alert_uses_labels_that_it_has(alert: str) -> None:
    (labels, *_) = (
        set(re.findall(r'(\w+)="', sample["labels"]))
        for check in checks_of(alert)
        for sample in check["exp_samples"]
    )
    used = re.findall(r"\$labels\.(\w+)", "".join(RULES[alert]["annotations"].values()))
    assert set(used) <= labels


@pytest.mark.parametrize(
    ("expression", "unknown"),
    [
        ("sum by (route) (rate(gateway_requests_total[5m])) > 0.01", []),
        ('gateway_requests_total{status=~"5.."} offset 1d and on (job) up', []),
        ('rate(gateway_request_duration_seconds_bucket{le="0.3"}[1m])', []),
        ("gatway_requests_total", ["gatway_requests_total"]),
        ("rate(gateway_request_duration_seconds[5m])", ["gateway_request_duration_seconds"]),
        ('gateway_workers{cache="x"}', ["gateway_workers{cache}"]),
        ('gateway_requests_total{path="fast"}', ['gateway_requests_total{path="fast"}']),
        ('gateway_requests_total{route!~"own|oww"}', ['gateway_requests_total{route="oww"}']),
        ("sum by (rout) (gateway_requests_total)", ["rout"]),
    ],
)
def test_the_test_itself_sees_what_there_is_not(expression: str, unknown: list[str]) -> None:
    assert unknown_in(expression) == unknown
