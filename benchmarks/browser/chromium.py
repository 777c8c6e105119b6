"""Starts a real Chromium, here and in tests."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

_SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium(program: str, *switches: str) -> Iterator[Browser]:
    """A running browser, until the block ends."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*_SWITCHES, *switches])
        yield browser
        browser.close()


def trusting(pin: str) -> tuple[str, str]:
    """Switches for servers of `localhost`: the certificate with this pin needs no authority.

    `--ignore-certificate-errors` would trust all, but the cache and dictionaries would be off.
    """
    return (
        f"--ignore-certificate-errors-spki-list={pin}",
        "--host-resolver-rules=MAP localhost 127.0.0.1",
    )
