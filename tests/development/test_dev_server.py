"""A bundler's dev server is one on this machine, and is asked for files below its folder."""

import pytest

from benchmarks.processes import free_port
from gateway.development.dev_server import DevServer
from gateway.errors import ConfigurationError, DevServerFailed
from tests.support.bundler import running_bundler


@pytest.mark.parametrize(
    ("url", "folder", "entry"),
    [
        ("http://localhost:5173", "http://localhost:5173/", None),
        ("http://localhost:5173/", "http://localhost:5173/", None),
        ("http://127.0.0.1/base", "http://127.0.0.1/base/", None),
        ("http://[::1]:8/base/", "http://[::1]:8/base/", None),
        ("http://localhost:8/a/container.js", "http://localhost:8/a/", "container.js"),
    ],
)
def test_a_url_names_a_folder_or_an_entry(url: str, folder: str, entry: str | None) -> None:
    server = DevServer(url)
    assert (server.url, server.entry_name) == (folder, entry)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:5173",
        "https://localhost:5173",
        "http://example.org",
        "http://localhost.example.org",
        "http://192.168.0.1",
        "http://localhost@example.org/",
        "http://localhost:5173/?a",
        "http://localhost:5173/#a",
        "http://localhost:99999",
        "http://[::1",
        "http://localhost/ä",
        "",
    ],
)
def test_other_urls_are_refused_in_one_line(url: str) -> None:
    with pytest.raises(ConfigurationError, match="--from: expected a URL of this machine"):
        DevServer(url)


@pytest.mark.parametrize("path", ["../a.js", "a/../../b.js", "a/%2e%2e/b.js", "./a.js"])
def test_paths_stay_below_the_folder(path: str) -> None:
    with pytest.raises(DevServerFailed, match="dot segments"):
        DevServer("http://localhost:1/base").fetch("GET", path, "", {})


def test_a_server_that_does_not_run_is_named() -> None:
    url = f"http://localhost:{free_port()}"
    with pytest.raises(DevServerFailed, match=f"{url}/ cannot be reached: Connection refused"):
        DevServer(url).fetch("GET", "a.js", "", {})


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("broken", "broke off"),
        ("short", "broke off"),
        ("huge", "sent more than 67108864 bytes"),
    ],
)
def test_an_answer_that_breaks_off_or_never_ends_is_none(path: str, reason: str) -> None:
    with running_bundler() as bundler, pytest.raises(DevServerFailed, match=reason):
        DevServer(bundler.url).fetch("GET", path, "", {})
