"""Starts a real Chromium."""

from contextlib import AbstractContextManager

from playwright.sync_api import Browser

from benchmarks.browser import chromium as chromium_of_benchmarks
from tests.conftest import require_program


def chromium() -> AbstractContextManager[Browser]:
    """A running browser. Without Chromium the test is skipped; in CI it fails."""
    return chromium_of_benchmarks.chromium(require_program("chromium"))
