"""What the log says first: where the gateway listens, and how its main switches stand."""

from collections.abc import Iterator

from gateway import __version__
from gateway.settings import Settings

_WIDTH = 12


def first_lines(settings: Settings) -> Iterator[str]:
    """One line for each switch, aligned, with the setting that changes it."""
    workers = settings.server.workers
    yield _line("version", f"{__version__}, {workers} worker{'s' if workers != 1 else ''}")
    yield _line("plugins", str(settings.plugins_dir))
    yield _line("database", settings.database_name)
    yield _line("changes", f"{settings.access.changes} (access.changes)")
    yield _line("metrics", _metrics(settings))
    yield _line("access log", f"{_access_log(settings)} (observability.access_log)")
    if settings.observability.traces:
        yield _line("traces", "requests of the cold path (observability.traces)")
    if settings.dev.enabled:
        yield _line("development", "nothing is immutable, changes show at once (dev.enabled)")


def changed_lines(old: Settings, new: Settings) -> list[str]:
    """The lines that differ after a change of settings."""
    known = set(first_lines(old))
    return [line for line in first_lines(new) if line not in known]


def _line(name: str, value: str) -> str:
    return f"{name + ':':<{_WIDTH}} {value}"


def _metrics(settings: Settings) -> str:
    if not settings.observability.metrics:
        return "off (observability.metrics)"
    peers = [*settings.observability.metrics_allow, "administrators"]
    return f"for {', '.join(peers)} (observability.metrics_allow)"


def _access_log(settings: Settings) -> str:
    share = float(settings.observability.access_log)
    if share in (0, 1):
        return "every answer" if share else "off"
    return f"{100 * share:g} % of the answers, and every refusal"
