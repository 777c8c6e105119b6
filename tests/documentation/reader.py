"""Somebody who follows a page: types its commands as they stand, on a site that it could be about.

What differs from the page stands in two tables: names that mean something else here, and programs
that this machine has in another form.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from operator import not_
from pathlib import Path
from typing import Any

import psutil

from benchmarks.processes import free_port
from tests.conftest import require_program
from tests.documentation.site_of_pages import ORIGIN, SLUG, USERS, configure, give_a_past, make_site
from tests.support.braindrive import serving_braindrive
from tests.support.certificates import self_signed
from tests.support.proxies import proxy_before
from tests.support.server import Server, serving
from tests.support.site import SECRET, Site, bearer, contents, token
from tests.support.terminal import terminal
from tests.support.urls import MANIFEST, pin_of
from tests.support.waiting import eventually

_PROXY = f"--proxy {ORIGIN}"
_PORTS = ("8000", "8010", "9000")
"""What pages serve at; the first one is that of the configuration."""
_DEADLINE_S = 120
_SERVER = re.compile(r"\bgateway (?:serve|demo|dev)\b")
_SHIMS = {
    # Returns when the server serves, as a second terminal would be opened then.
    "gateway": """
        case "$1" in serve | demo | dev) ;; *) exec {python} -m gateway "$@" ;; esac
        log=$(mktemp)
        {python} -m gateway "$@" >"$log" 2>&1 &
        until grep -q "running on\\|runs at" "$log"; do
            kill -0 $! || {{ cat "$log"; exit 1; }}
            sleep 0.1
        done
        cat "$log"
    """,
    "curl": 'exec {curl} --silent --show-error --fail-with-body "$@"',
    "python": 'exec {python} "$@"',
    "docker": """
        test "$1" = compose && shift
        test "$1" = exec && shift 2 && exec "$@"
    """,
    "sudo": 'test "$1" = -u; shift 2; exec "$@"',
}


class Reader:
    def __init__(
        self, site: Site, server: Server, names: Mapping[str, str], open_proxy: Callable[[], str]
    ) -> None:
        """`open_proxy`: starts a proxy before gateway and application; returns its URL."""
        self._site = site
        self._server = server
        self._names = names
        self._open_proxy = cache(open_proxy)
        self._environment = {
            **terminal(site.folder),
            "TMPDIR": str(site.folder),
            "TOKEN": token(USERS[1]),
        }
        for name, script in _SHIMS.items():
            program = site.folder / "bin" / name
            programs = {"python": sys.executable, "curl": shutil.which("curl")}
            program.write_text("#!/bin/sh\n" + script.format(**programs))
            program.chmod(0o755)
        self._rows = site.query("SELECT * FROM plugin")
        self._files = contents(site.plugins, "users")
        self._manifests = {user: self._manifest(user) for user in USERS}

    def follow(self, texts: Sequence[str]) -> list[str]:
        """Types each text after the other; returns what each printed, on both streams.

        Users have what they had at first; what was published stays. Servers that the commands start
        have free ports, and run until the end. Raises: AssertionError, if a command fails.
        """
        self._restore()
        names, environment = dict(self._names), dict(self._environment)
        if any(_SERVER.search(text) for text in texts):
            ports = {port: str(free_port()) for port in _PORTS}
            names = {f"{before}{port}": f"{before}{ours}" for port, ours in ports.items()
                     for before in ("127.0.0.1:", "--port ")} | names  # fmt: skip
            environment["GATEWAY__SERVER__PORT"] = ports[_PORTS[0]]
        groups: list[int] = []
        try:
            return [self._type(self._here(it, names), environment, groups) for it in texts]
        finally:
            _end(groups)

    def _here(self, text: str, names: Mapping[str, str]) -> str:
        if _PROXY in text:
            text = text.replace(_PROXY, f"--proxy {self._open_proxy()}")
        for name, ours in names.items():
            text = text.replace(name, ours)
        return text

    def _type(self, text: str, environment: Mapping[str, str], groups: list[int]) -> str:
        for program in ("curl", "promtool"):
            if re.search(rf"\b{program} ", text):
                require_program(program)
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self._site.folder, env=environment, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        groups.append(process.pid)
        printed, _ = process.communicate(timeout=_DEADLINE_S)
        assert process.returncode == 0, f"{text}\n{printed}"
        return printed

    def _restore(self) -> None:
        self._site.execute("DELETE FROM plugin")
        for row in self._rows:
            marks = ", ".join("?" for _ in row)
            self._site.execute(f"INSERT INTO plugin VALUES ({marks})", *row.values())
        for path, content in self._files.items():
            (self._site.plugins / path).parent.mkdir(parents=True, exist_ok=True)
            (self._site.plugins / path).write_bytes(content)
        for user, manifest in self._manifests.items():
            eventually(partial(self._manifest, user), manifest.__eq__)

    def _manifest(self, user: str) -> Any:
        return self._server.get(MANIFEST, bearer(user)).json


def _end(groups: Sequence[int]) -> None:
    """Ends all processes of these groups."""
    left = []
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)
            left.append(group)
    try:
        if left:
            eventually(lambda: any(_is_of(it, left) for it in psutil.process_iter()), not_)
    finally:
        for group in left:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


def _is_of(process: psutil.Process, groups: Sequence[int]) -> bool:
    """Whether the process runs, in one of the groups."""
    with suppress(ProcessLookupError, psutil.NoSuchProcess):
        return os.getpgid(process.pid) in groups and process.status() != psutil.STATUS_ZOMBIE
    return False


@contextmanager
def reading(folder: Path) -> Iterator[Reader]:
    """A reader in the folder of a site that is served, beside an application that serves it."""
    site = make_site(folder)
    port = free_port()
    environment = {"GATEWAY_CONFIG": str(configure(site, port))}
    give_a_past(environment)
    with ExitStack() as stack:
        application = stack.enter_context(serving_braindrive(site))
        application.origins = {ORIGIN}
        server = stack.enter_context(serving(environment, "--port", str(port)))

        def open_proxy() -> str:
            nginx, options = require_program("nginx"), ("--application", application.url)
            proxy = proxy_before(
                server, environment, nginx, "nginx", "proxy", folder / "nginx", *options
            )
            return f"http://127.0.0.1:{stack.enter_context(proxy).port}"

        yield Reader(site, server, _names(site, server, application.url), open_proxy)


def _names(site: Site, server: Server, application: str) -> Mapping[str, str]:
    """What stands here for the names of the pages."""
    url = f"http://127.0.0.1:{server.port}"
    certificate, key = self_signed(site.folder, "localhost")
    folders = ("/etc/nginx", "/etc/caddy", "/etc/systemd/system")
    for folder in folders:
        (site.folder / folder[1:]).mkdir(parents=True)
    return {
        "https://app.example.org": url,
        "http://127.0.0.1:8000": url,
        "http://127.0.0.1:8005": application,
        "@1.0.0~4f2a9c1b73d05e86": pin_of(server, USERS[1], SLUG),
        "plugins/backups/migrate-20260102T030405.000000Z.jsonl": str(site.backups()[0]),
        "/srv/braindrive/backend": str(site.folder),
        "JWT__SECRET=…": f"JWT__SECRET={SECRET}",
        "--tls CERT KEY": f"--tls {certificate} {key}",
        "--user ID": f"--user {USERS[0]}",
        "--plugin SLUG": f"--plugin {SLUG}",
        **{folder: f"{site.folder}{folder}" for folder in folders},
    }
