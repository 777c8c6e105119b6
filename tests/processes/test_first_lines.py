"""What the log says first."""

import pytest

from gateway import __version__
from gateway.processes.first_lines import changed_lines, first_lines
from gateway.settings import Settings, load_settings


def settings(**environment: str) -> Settings:
    named = {f"GATEWAY__{name.upper()}": text for name, text in environment.items()}
    return load_settings(environ={"GATEWAY__IDENTITY__JWT__SECRET": "a" * 32, **named})


def line(name: str, **environment: str) -> str:
    (found,) = [it for it in first_lines(settings(**environment)) if it.startswith(f"{name}:")]
    return found.removeprefix(f"{name}:").strip()


@pytest.mark.parametrize(
    ("name", "environment", "said"),
    [
        ("version", {}, f"{__version__}, 1 worker"),
        ("version", {"server__workers": "4"}, f"{__version__}, 4 workers"),
        ("changes", {"access__changes": "admins"}, "admins (access.changes)"),
        ("metrics", {"observability__metrics": "false"}, "off (observability.metrics)"),
        (
            "metrics",
            {"observability__metrics_allow": "10.0.0.0/8"},
            "for 10.0.0.0/8, administrators (observability.metrics_allow)",
        ),
        ("access log", {}, "off (observability.access_log)"),
        (
            "access log",
            {"observability__access_log": "0.01"},
            "1 % of the answers, and every refusal (observability.access_log)",
        ),
        ("access log", {"observability__access_log": "0"}, "off (observability.access_log)"),
        (
            "access log",
            {"observability__access_log": "1"},
            "every answer (observability.access_log)",
        ),
        (
            "database",
            {
                "database__url": "postgresql://ada:hunter2@db.example:5433/braindrive?sslmode=disable"
            },
            "PostgreSQL, db.example:5433/braindrive",
        ),
        ("database", {"database__url": "postgresql+asyncpg:///a"}, "PostgreSQL, local/a"),
        ("database", {"database__url": "sqlite:////srv/a.db"}, "SQLite, /srv/a.db"),
        (
            "development",
            {"dev__enabled": "true"},
            "nothing is immutable, changes show at once (dev.enabled)",
        ),
    ],
)
def test_a_line_says_how_a_switch_stands(name: str, environment: dict[str, str], said: str) -> None:
    assert line(name, **environment) == said


def test_the_values_are_aligned() -> None:
    lines = first_lines(settings(dev__enabled="true"))
    assert {len(line) - len(line.partition(":")[2].lstrip()) for line in lines} == {13}


def test_after_a_change_of_settings_only_lines_that_differ_are_said_again() -> None:
    old, new = settings(), settings(access__changes="users")
    assert changed_lines(old, new) == ["changes:     users (access.changes)"]
    assert changed_lines(old, old) == []
