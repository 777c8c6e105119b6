"""braindrive.md: its commands are run in their order, on a site that an application made.

A temporary folder stands for the root of the machine, and a stand-in for the application. Commands
that make users change nothing. The unit that the page prints runs as systemd would run it, if root
runs this test.
"""

import grp
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.processes import free_port
from tests.conftest import require_program
from tests.support.braindrive import BrainDrive, serving_braindrive
from tests.support.certificates import self_signed
from tests.support.nginx import DEBIAN_HTTP, wait_until_listening
from tests.support.sandbox import as_the_unit, read_unit
from tests.support.server import clean_environment
from tests.support.site import SECRET, Site, contents

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "how-to" / "braindrive.md").read_text()
BLOCKS = re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", PAGE)
USER = "a357d64dccd04551b08bff5fcaf2c167"
NGINX = """
user {user};
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 64; }}
http {{
    access_log {folder}/nginx-access.log;
    {common}
    include {folder}/etc/nginx/conf.d/*.conf;
}}
"""
# What the machine of the page has, and that of a test has not.
SHIMS = {
    "adduser": "",
    "deluser": "",
    "chown": "",
    "runuser": 'shift 3; exec "$@"',
    "install": 'test "$1" = -d; shift; while test $# -gt 1; do shift; done; exec mkdir -p "$1"',
    "nginx": 'exec {nginx} -c {folder}/nginx.conf -p {folder} "$@"',
    "python3": """
        test "$1 $2" = "-m venv" || exec {python} "$@"
        mkdir -p "$3/bin"
        printf '#!/bin/sh\\nexec {python} -m gateway "$@"\\n' > "$3/bin/gateway"
        printf '#!/bin/sh\\ntest "$*" = "install ."\\n' > "$3/bin/pip"
        chmod 755 "$3/bin/gateway" "$3/bin/pip"
    """,
}


class Machine:
    """Where the page is followed."""

    def __init__(self, folder: Path, application: BrainDrive) -> None:
        self.folder = folder
        self.application = application
        self.port, self._tls_port = free_port(), free_port()
        self._services: dict[str, subprocess.Popen[str]] = {}
        for made in ("bin", "usr/local/sbin", "etc/nginx/conf.d", "etc/systemd/system", "etc/ssl",
                     "etc/caddy"):  # fmt: skip
            (folder / made).mkdir(parents=True)
        self._chain, self._key = self_signed(folder / "etc" / "ssl", "localhost")
        user = f"{pwd.getpwuid(os.getuid()).pw_name} {grp.getgrgid(os.getgid()).gr_name}"
        (folder / "nginx.conf").write_text(
            NGINX.format(folder=folder, user=user, common=DEBIAN_HTTP)
        )
        programs = {"nginx": require_program("nginx"), "python": sys.executable}
        for name, script in SHIMS.items():
            path = folder / "bin" / name
            path.write_text("#!/bin/sh\n" + script.format(folder=folder, **programs))
            path.chmod(0o755)

    @property
    def names(self) -> Mapping[str, str]:
        """What stands here for the page's paths and addresses, the longest first."""
        paths = ("/srv/braindrive", "/opt/gateway", "/etc/gateway", "/etc/nginx", "/etc/caddy",
                 "/etc/systemd", "/usr/local/sbin")  # fmt: skip
        return {
            "/etc/ssl/api.example.pem": str(self._chain),
            "/etc/ssl/api.example.key": str(self._key),
            "http://127.0.0.1:8005": self.application.url,
            "https://api.example": f"https://localhost:{self._tls_port}",
            "--server-name api.example --tls": (
                f"--server-name localhost --listen 127.0.0.1:{self._tls_port} --tls"
            ),
            "port = 8010": f"port = {self.port}",
            "127.0.0.1:8010": f"127.0.0.1:{self.port}",
            "/usr/bin/python3 -m": "python3 -m",
            "--user ID": f"--user {USER}",
            **{path: f"{self.folder}{path}" for path in paths},
        }

    def here(self, text: str) -> str:
        text = text.replace("--server-name api.example \\\n   ", "--server-name api.example")
        for name, ours in self.names.items():
            text = text.replace(name, ours)
        return text

    def as_on_the_page(self, text: str) -> str:
        for name, ours in self.names.items():
            text = text.replace(ours, name)
        return text

    @property
    def environment(self) -> dict[str, str]:
        path = (
            self.folder / "bin",
            self.folder / "usr/local/sbin",
            os.environ["PATH"],
            "/usr/sbin",
        )
        state = dict.fromkeys(("XDG_CONFIG_HOME", "XDG_DATA_HOME", "HOME"), str(self.folder))
        return {
            **clean_environment(),
            **state,
            "PATH": ":".join(map(str, path)),
            "PYTHONPATH": str(ROOT),
            "SSL_CERT_FILE": str(self._chain),
        }

    def run(self, block: str) -> str:
        """What the commands say. Raises: AssertionError, if one of them fails."""
        said = ""
        for line in re.split(r"(?m)^(systemctl .*)\n", self.here(block)):
            if line.startswith("systemctl "):
                self._systemctl(*line.split()[1:])
            elif line.strip():
                result = subprocess.run(
                    ["bash", "-euo", "pipefail", "-c", line],
                    env=self.environment, cwd=self.folder,
                    capture_output=True, text=True, check=False,
                )  # fmt: skip
                assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
                said += result.stdout
        return said

    def _systemctl(self, verb: str, *arguments: str) -> None:
        name = arguments[-1] if arguments else ""
        if verb in ("disable", "restart"):
            self._stop(name)
        if verb in ("enable", "restart"):
            unit = self.folder / "etc/systemd/system/gateway.service"
            self._services[name] = self._started(read_unit(unit.read_text()))
        elif verb == "reload" and name == "nginx":  # Caddy: the page's test runs nginx
            self._stop(name)
            command = [str(self.folder / "bin" / name), "-g", "daemon off;"]
            self._services[name] = subprocess.Popen(command, text=True)
            if list((self.folder / "etc/nginx/conf.d").iterdir()):
                wait_until_listening(self._tls_port, self._services[name])

    def _started(self, unit: Mapping[str, list[str]]) -> "subprocess.Popen[str]":
        (command,), (variables,) = unit["ExecStart"], unit["EnvironmentFile"]
        under = as_the_unit(unit) if os.geteuid() == 0 else []
        script = f"set -a; . {self.here(variables)}; exec {command}"
        process = subprocess.Popen(
            [*under, "sh", "-c", script],
            env=self.environment,
            cwd=unit["WorkingDirectory"][0],
            text=True,
        )
        wait_until_listening(self.port, process)
        return process

    def _stop(self, name: str) -> None:
        process = self._services.pop(name, None)
        if process is not None:
            process.terminate()
            process.wait(15)

    def stop(self) -> None:
        for name in list(self._services):
            with suppress(subprocess.TimeoutExpired):
                self._stop(name)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """As BrainDrive-Core makes one: rows and files, nothing else."""
    site = Site(tmp_path / "srv" / "braindrive" / "backend")
    for name in ("users", "cache"):
        (site.plugins / name).rmdir()
    (site.folder / ".env").write_text(f'APP_ENV="prod"\nSECRET_KEY="{SECRET}"\nPORT=8005\n')
    site.publish("PluginTemplate", "1.0.0")
    site.add_row(USER, "PluginTemplate", "1.0.0")
    return site


@pytest.fixture
def machine(tmp_path: Path, site: Site) -> Iterator[Machine]:
    require_program("curl"), require_program("caddy")
    with serving_braindrive(site) as application:
        application.origins = {"https://app.example"}
        machine = Machine(tmp_path, application)
        try:
            yield machine
        finally:
            machine.stop()


def comparable(text: str) -> list[str]:
    """Lines without what differs from site to site: sizes, digests, and who runs the command."""
    text = re.sub(r"tried as .*", "tried as …", text)
    text = re.sub(r"\b[0-9a-f]{16,}\b", "…", text)
    text = re.sub(r"\d+ bytes", "… bytes", text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_the_page_can_be_followed_to_its_end_and_leaves_nothing(
    machine: Machine, site: Site
) -> None:
    before = contents(site.folder)
    said = ""
    for kind, block in BLOCKS:
        if kind == "sh":
            said = machine.run(block)
        else:
            assert kind == "text"
            lines = comparable(machine.as_on_the_page(said))
            for line in comparable(block):
                assert line in lines, f"{line}\nis not in\n" + "\n".join(lines)
    assert contents(site.folder) == before
    assert not (site.plugins / "cache").exists()
    assert shutil.which("gateway", path=str(machine.folder / "usr/local/sbin")) is None
    assert {head.split()[0] for head in machine.application.heads} == {"GET"}
