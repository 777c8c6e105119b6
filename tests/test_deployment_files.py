"""Dockerfile, .dockerignore and deploy/ hold what they say, as far as it shows without Docker.

What the Dockerfile's lines say is done below a temporary folder, which stands for the root of the
image. Packages come from the environment of this test, so nothing is downloaded.
"""

import ipaddress
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.processes import free_port
from gateway.settings import load_settings
from tests.conftest import require_program
from tests.support.collector import collecting
from tests.support.load import Client, under_load
from tests.support.nginx import nginx_with
from tests.support.postgres import Postgres
from tests.support.server import STOP_DEADLINE_S, Server, clean_environment
from tests.support.site import ADA, SECRET, bearer
from tests.support.sockets import exchange
from tests.support.urls import MANIFEST
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NODES = {name: it for name, it in SERVICES.items() if name.startswith("node-")}
NGINX = (ROOT / "deploy" / "nginx.conf").read_text()
SHELLS = {"sh", "bash", "dash"}


# The Dockerfile


@dataclass(frozen=True, slots=True)
class Instruction:
    name: str
    value: str

    @property
    def options(self) -> list[str]:
        return self.value.removesuffix(self.arguments).split()

    @property
    def arguments(self) -> str:
        return re.sub(r"^(--\S+\s+)*", "", self.value)

    @property
    def words(self) -> list[str]:
        """Of the exec form. Raises: ValueError, if it is the form that starts a shell."""
        words: list[str] = json.loads(self.arguments.removeprefix("CMD "))
        return words


def read_dockerfile() -> list[Instruction]:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", "")
    return [Instruction(*line.split(maxsplit=1)) for line in text.splitlines() if line]


DOCKERFILE = read_dockerfile()


def instructions(name: str) -> list[Instruction]:
    return [it for it in DOCKERFILE if it.name == name]


def last(name: str) -> Instruction:
    return instructions(name)[-1]


def environment_of_image() -> dict[str, str]:
    return dict(re.findall(r'(\w+)="([^"]*)"', " ".join(it.value for it in instructions("ENV"))))


def read_dockerignore() -> list[tuple[re.Pattern[str], bool]]:
    """Each pattern, and whether it is an exception (`!`): fitting files are sent to the build."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    return [(as_expression(it.removeprefix("!")), it.startswith("!")) for it in patterns]


def as_expression(pattern: str) -> re.Pattern[str]:
    """Fits the path, and what lies below it."""
    expression = re.escape(pattern).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
    return re.compile(f"{expression}(/.*)?")


DOCKERIGNORE = read_dockerignore()


def is_sent_to_the_build(path: str) -> bool:
    """The last pattern that fits decides."""
    fitting = [is_sent for pattern, is_sent in DOCKERIGNORE if pattern.fullmatch(path)]
    return not fitting or fitting[-1]


def files_of_the_build() -> Iterator[Path]:
    """Relative to the checkout."""
    for path in ROOT.rglob("*"):
        relative = path.relative_to(ROOT)
        if is_sent_to_the_build(relative.as_posix()) and path.is_file():
            yield relative


@dataclass(slots=True)
class Image:
    """The folder that stands for the root of the image, and the programs that it runs there."""

    root: Path
    settings: dict[str, str] = field(default_factory=dict)
    """Variables that a container gets beside those of the image."""

    def within(self, path: str) -> Path:
        return self.root / path.removeprefix("/")

    @property
    def environment(self) -> dict[str, str]:
        image = environment_of_image()
        folders = image.pop("PATH").replace("$PATH", os.environ["PATH"])
        outside = {key: it for key, it in clean_environment().items() if key != "PYTHONPATH"}
        return {**outside, **image, "PATH": f"{self.root}{folders}", **self.settings}

    @property
    def working_directory(self) -> Path:
        return self.within(last("WORKDIR").value)

    @property
    def log(self) -> Path:
        """Of the container that was started last with this port."""
        return self.root / f"log-{self.settings['GATEWAY__SERVER__PORT']}"

    def start(self, arguments: Sequence[str] | None = None) -> "subprocess.Popen[bytes]":
        """ENTRYPOINT, with these arguments instead of CMD."""
        words = [*last("ENTRYPOINT").words, *(arguments or last("CMD").words)]
        program = shutil.which(words[0], path=self.environment["PATH"])
        assert program is not None, words
        with self.log.open("w") as log:
            return subprocess.Popen(
                [program, *words[1:]],
                env=self.environment,
                cwd=self.working_directory,
                stderr=log,
            )

    def is_healthy(self) -> bool:
        words = last("HEALTHCHECK").words
        program = shutil.which(words[0], path=self.environment["PATH"])
        assert program is not None, words
        command = [program, *words[1:]]
        done = subprocess.run(
            command, env=self.environment, stderr=subprocess.DEVNULL, timeout=10, check=False
        )
        assert done.returncode in (0, 1)  # Docker reserves all others
        return done.returncode == 0

    @contextmanager
    def serving(self) -> Iterator["subprocess.Popen[bytes]"]:
        """A node that is healthy, until the block ends or it is stopped."""
        process = self.start()
        try:
            # A supervisor that has not yet seen its workers serve ends with another exit code.
            eventually(self.log.read_text, lambda text: "gateway running on" in text)
            eventually(self.is_healthy, bool)
            yield process
        finally:
            process.kill()
            process.wait()


def stop(process: "subprocess.Popen[bytes]") -> int:
    process.terminate()
    return process.wait(STOP_DEADLINE_S)


def build(root: Path) -> None:
    """Does what the Dockerfile says. All stages have the same root."""
    for instruction in DOCKERFILE:
        if instruction.name == "RUN":
            run_in_build(root, *instruction.words)
        elif instruction.name == "COPY" and not instruction.options:
            source, target = instruction.arguments.split()
            assert source == "."
            for path in files_of_the_build():
                copy = root / target.removeprefix("/") / path
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / path, copy)


def run_in_build(root: Path, program: str, *arguments: str) -> None:
    moved = [f"{root}{word}" if word.startswith("/") else word for word in arguments]
    if program == "useradd":
        return  # changes the users of this machine
    if program == "install":
        moved = [word for word in moved if not word.startswith(("--owner", "--group"))]
    command = [program, *moved]
    if program == "python":
        command = [sys.executable, *moved]
    if program == "pip":
        offline = ("--no-index", "--no-deps", "--no-build-isolation")
        command = [sys.executable, "-m", "pip", *moved, *offline]
    environment = {key: it for key, it in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if "venv" in arguments:
        (packages,) = (root / "opt/gateway").glob("lib/python*/site-packages")
        (packages / "of_this_test.pth").write_text(sysconfig.get_path("purelib"))


@pytest.fixture(scope="module")
def root_of_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("image")
    build(root)
    return root


@pytest.fixture
def image(root_of_image: Path) -> Iterator[Image]:
    """The working directory is empty, as a new volume."""
    image = Image(root_of_image)
    image.settings["GATEWAY__SERVER__PORT"] = str(free_port())
    yield image
    shutil.rmtree(image.working_directory)
    image.working_directory.mkdir()


@pytest.mark.parametrize(
    "path",
    [".git/config", ".env", "deploy/.env", "gateway.db", "plugins/cache/changes.log", ".venv/x.py"],
)
def test_the_build_does_not_get_what_it_does_not_need(path: str) -> None:
    assert not is_sent_to_the_build(path)


def test_every_copied_path_exists() -> None:
    for instruction in instructions("COPY"):
        *sources, _ = instruction.arguments.split()
        for source in sources:
            if instruction.options:
                assert any(source in it.words for it in instructions("RUN")), source
            else:
                assert (ROOT / source).exists(), source


def test_the_user_is_a_number_and_not_root_and_owns_the_working_directory() -> None:
    match = re.fullmatch(r"([1-9]\d*):([1-9]\d*)", last("USER").value)
    assert match is not None
    (install,) = (it.words for it in instructions("RUN") if it.words[0] == "install")
    assert {f"--owner={match[1]}", f"--group={match[2]}", last("WORKDIR").value} <= {*install}
    (useradd,) = (it.words for it in instructions("RUN") if it.words[0] == "useradd")
    assert useradd[useradd.index("--uid") + 1] == match[1]
    assert DOCKERFILE.index(last("USER")) > DOCKERFILE.index(last("RUN"))


@pytest.mark.parametrize("name", ["ENTRYPOINT", "CMD", "HEALTHCHECK", "RUN"])
def test_no_shell_stands_between(name: str) -> None:
    for instruction in instructions(name):
        assert instruction.words[0] not in SHELLS


def test_the_variables_of_the_image_are_settings_and_output_is_not_buffered() -> None:
    variables = environment_of_image()
    settings = load_settings(environ=variables)
    assert settings.server.host == "0.0.0.0"
    assert str(settings.server.port) == last("EXPOSE").value
    assert variables["PYTHONUNBUFFERED"]


def test_the_image_has_every_extra() -> None:
    (install,) = (it.words for it in instructions("RUN") if "install" in it.words[1:])
    extras = re.fullmatch(r"/src\[(.*)\]", install[-1])
    assert extras is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras[1].split(",")) == project["optional-dependencies"].keys()


@pytest.mark.slow
def test_the_image_sends_traces(image: Image) -> None:
    with collecting() as collector:
        image.settings |= {"GATEWAY__IDENTITY__JWT__SECRET": SECRET, **collector.environment}
        assert image.start(["init"]).wait() == 0
        with image.serving() as process:
            port = int(image.settings["GATEWAY__SERVER__PORT"])
            fields = {"Host": "x", "Connection": "close", **bearer(ADA)}
            assert exchange(port, "GET", MANIFEST, fields).status == 200
            collector.the_span(f"GET {MANIFEST}")
            assert stop(process) == 0


@pytest.mark.slow
def test_the_image_has_the_package_whole(root_of_image: Path) -> None:
    (packages,) = (root_of_image / "opt/gateway").glob("lib/python*/site-packages/gateway")
    code = {path.relative_to(ROOT / "gateway") for path in (ROOT / "gateway").rglob("*.py")}
    assert code <= {path.relative_to(packages) for path in packages.rglob("*.py")}
    assert (packages / "config.toml").is_file()
    assert (packages / "demo/plugins/shared").is_dir()


@pytest.mark.slow
def test_the_image_makes_a_site_and_serves_it_until_it_is_stopped(image: Image) -> None:
    image.settings["GATEWAY__IDENTITY__JWT__SECRET"] = SECRET
    assert image.start(["init"]).wait() == 0
    assert not image.is_healthy()
    with image.serving() as process:
        assert stop(process) == 0
    assert not image.is_healthy()


@pytest.mark.slow
def test_a_server_that_answers_with_an_error_is_not_healthy(image: Image) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        image.settings["GATEWAY__SERVER__PORT"] = str(server.server_port)
        assert not image.is_healthy()


# compose.yaml and nginx.conf


def interpolated(value: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$\{(\w+):\?[^}]*\}", lambda match: variables[match[1]], value)


VARIABLES = {"DB_PASSWORD": "a-password", "JWT_SECRET": SECRET}


def settings_of(service: Mapping[str, Any]) -> dict[str, str]:
    return {key: interpolated(it, VARIABLES) for key, it in service["environment"].items()}


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_every_variable_of_a_node_is_a_setting() -> None:
    for node in NODES.values():
        settings = load_settings(environ=settings_of(node))
        assert settings.database.url == "postgresql://gateway:a-password@postgres/site"
        assert settings.identity.jwt.secret == SECRET


def test_every_variable_that_compose_needs_is_in_the_documentation() -> None:
    page = (ROOT / "docs" / "how-to" / "deployment.md").read_text()
    for name in re.findall(r"\$\{(\w+)", (ROOT / "deploy" / "compose.yaml").read_text()):
        assert f"{name}=" in page


def test_a_service_names_only_services_and_volumes_and_files_that_exist() -> None:
    for service in SERVICES.values():
        for name, dependency in service.get("depends_on", {}).items():
            is_checked = "build" in SERVICES[name] or "healthcheck" in SERVICES[name]
            assert is_checked or dependency["condition"] != "service_healthy"
        for source, target in (it.split(":")[:2] for it in service["volumes"]):
            is_file = source.startswith("./")
            assert (ROOT / "deploy" / source).is_file() if is_file else source in COMPOSE["volumes"]
            assert target.startswith("/")
        if "build" in service:
            assert (ROOT / "deploy" / service["build"] / "Dockerfile").is_file()


def test_the_nodes_and_their_init_share_the_folder_in_which_the_image_works() -> None:
    for service in (SERVICES["init"], *NODES.values()):
        assert service["volumes"] == [f"site:{last('WORKDIR').value}"]
        assert service["environment"] == SERVICES["init"]["environment"]


def test_the_database_of_the_nodes_is_the_one_that_postgres_makes() -> None:
    made = settings_of(SERVICES["postgres"])
    url = "postgresql://{POSTGRES_USER}:{POSTGRES_PASSWORD}@postgres/{POSTGRES_DB}"
    assert settings_of(NODES["node-1"])["GATEWAY__DATABASE__URL"] == url.format(**made)


def test_nginx_asks_the_addresses_of_the_nodes_and_listens_on_the_published_port() -> None:
    (network,) = COMPOSE["networks"]["default"]["ipam"]["config"]
    nodes = {it["networks"]["default"]["ipv4_address"] for it in NODES.values()}
    for address in map(ipaddress.ip_address, nodes):
        assert address in ipaddress.ip_network(network["subnet"])
        assert address not in ipaddress.ip_network(network["ip_range"])
    asked = set(re.findall(r"(?m)^ *server ([\d.:]+)", NGINX))
    assert asked == {f"{address}:{last('EXPOSE').value}" for address in nodes}
    (port,) = (it.split(":")[1] for it in SERVICES["nginx"]["ports"])
    assert re.findall(r"listen (\d+);", NGINX) == [port]


def test_a_node_has_the_time_to_end() -> None:
    for node in NODES.values():
        server = load_settings(environ=settings_of(node)).server
        assert seconds(node["stop_grace_period"]) > server.drain_delay + server.drain_timeout
        for fail_timeout in re.findall(r"fail_timeout=(\w+)", NGINX):
            assert server.drain_delay > seconds(fail_timeout)


def test_the_configuration_of_nginx_is_valid(tmp_path: Path) -> None:
    nginx = require_program("nginx")
    config = tmp_path / "nginx.conf"
    site = NGINX.replace("listen 80;", f"listen 127.0.0.1:{free_port()};")
    config.write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\n{site}\n}}\n")
    command = [nginx, "-t", "-c", str(config), "-p", str(tmp_path), "-e", str(tmp_path / "log")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_services_of_compose_lose_no_request_while_their_nodes_are_restarted_in_turn(
    image: Image, postgres: Postgres, tmp_path: Path
) -> None:
    nginx = require_program("nginx")
    settings = settings_of(SERVICES["init"])
    settings["GATEWAY__DATABASE__URL"] = postgres.new_database()
    nodes = [Image(image.root, {**settings, "GATEWAY__SERVER__PORT": str(free_port())})
             for _ in NODES]  # fmt: skip
    for _ in range(2):  # `docker compose up` runs it each time
        assert nodes[0].start(SERVICES["init"]["command"]).wait() == 0

    port = free_port()
    content = NGINX.replace("listen 80;", f"listen 127.0.0.1:{port};")
    for service, node in zip(NODES.values(), nodes, strict=True):
        address = f"{service['networks']['default']['ipv4_address']}:{last('EXPOSE').value}"
        here = f"127.0.0.1:{node.settings['GATEWAY__SERVER__PORT']}"
        content = content.replace(address, here)
    with (
        nodes[0].serving() as first,
        nodes[1].serving() as second,
        nginx_with(nginx, tmp_path / "nginx", f"access_log off;\n{content}", port) as front,
    ):
        site = Server(front, port, [])
        assert site.get(MANIFEST).status == 401
        assert site.get(MANIFEST, bearer(ADA)).json == {}
        clients = [Client(site.connection, MANIFEST, bearer(ADA), pause_s=0.01)] * 2
        with under_load(*clients) as load:
            load.goes_on(50)
            assert stop(first) == 0
            with nodes[0].serving():
                assert stop(second) == 0
                with nodes[1].serving():
                    load.goes_on(50)
        assert load.failures == []
        assert set(load.answers) == {b"{}"}
