"""What Chromium does, and what is counted of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import BrowserContext, Error

from benchmarks.machine import CannotMeasure

FIRST, SECOND, UPGRADE = "first visit", "second visit", "after an upgrade"
VISITS = (FIRST, SECOND, UPGRADE)
_DEADLINE_MS = 120_000.0
_POLL_MS = 50.0
_TIMES = """() => {
    const at = (name) => performance.getEntriesByName(name)[0].startTime;
    const isFile = ({ name }) => name.includes("/public/plugins/");
    const files = performance.getEntriesByType("resource").filter(isFile);
    const last = Math.max(...files.map(({ responseEnd }) => responseEnd));
    return [at("running"), last - at("manifest")];
}"""
_PLUGIN_PATHS = ("/api/v1/public/plugins/", "/api/v1/plugins/")
_MANIFEST = "/manifest"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A page load."""

    running_ms: float
    """From the navigation until all plugins run."""
    files_ms: float
    """From the manifest until the last file of a plugin is there."""
    requests: int
    """All that went over the line."""
    file_requests: int
    file_bytes: int
    """Of the answers to requests for files of plugins, with their fields."""
    file_urls: Sequence[str]
    codings: Counter[str]
    """Answers with files of plugins, by content coding."""


def load(context: BrowserContext, url: str, texts: Sequence[str]) -> Loaded:
    """Loads the host page in a new tab until each of the plugins shows its text.

    Raises: CannotMeasure, if one of them does not.
    """
    page = context.new_page()
    traffic = _Traffic()
    session = context.new_cdp_session(page)
    for name in ("responseReceived", "requestServedFromCache", "loadingFinished"):
        session.on(f"Network.{name}", getattr(traffic, name))
    session.send("Network.enable")
    try:
        page.goto(url, wait_until="commit")
        page.wait_for_function("window.outcome", timeout=_DEADLINE_MS, polling=_POLL_MS)
    except Error as error:
        raise CannotMeasure(error.message.partition("\n")[0]) from None
    outcome = str(page.evaluate("window.outcome"))
    if missing := [text for text in texts if text not in outcome]:
        raise CannotMeasure(f"the page lacks {missing[0]!r}; it has {outcome[:200]!r}")
    running_ms, files_ms = page.evaluate(_TIMES)
    page.close()
    return traffic.loaded(float(running_ms), float(files_ms))


class _Traffic:
    """Hears of every request of a page, by the names of the DevTools protocol."""

    def __init__(self) -> None:
        self._responses: dict[str, dict[str, Any]] = {}
        self._cached: set[str] = set()
        self._bytes: Counter[str] = Counter()

    def responseReceived(self, event: dict[str, Any]) -> None:  # noqa: N802
        self._responses[event["requestId"]] = event["response"]

    def requestServedFromCache(self, event: dict[str, Any]) -> None:  # noqa: N802
        self._cached.add(event["requestId"])

    def loadingFinished(self, event: dict[str, Any]) -> None:  # noqa: N802
        self._bytes[event["requestId"]] = event["encodedDataLength"]

    def loaded(self, running_ms: float, files_ms: float) -> Loaded:
        over_line = {
            name: response
            for name, response in self._responses.items()
            if name not in self._cached
            and not response.get("fromDiskCache")
            and not response.get("fromPrefetchCache")
            and response["url"].startswith("http")
        }
        files = {
            name: response
            for name, response in over_line.items()
            if any(path in response["url"] for path in _PLUGIN_PATHS)
            and _MANIFEST not in response["url"]
        }
        return Loaded(
            running_ms,
            files_ms,
            len(over_line),
            len(files),
            sum(self._bytes[name] for name in files),
            [response["url"] for response in files.values()],
            Counter(_coding(response["headers"]) for response in files.values()),
        )


def _coding(fields: dict[str, str]) -> str:
    lower = {name.lower(): value for name, value in fields.items()}
    return lower.get("content-encoding", "identity")
