"""The demo's plugins and users agree with each other, and its site is made, kept and removed."""

import base64
import json
import re
import shlex
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.application import own_hosts
from gateway.demo.demo_site import USERS, DemoUser, demo_plugins, make_demo_site
from gateway.disk.published_record import RECORD_NAME
from gateway.names import parse_slug, parse_version
from tests.support.server import STOP_DEADLINE_S, Server, run_cli, serving
from tests.support.site import contents
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SHARED = ROOT / "plugins" / "shared"
FOLDERS = sorted(SHARED.glob("*/v*"))


def read_json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def folder_name(folder: Path) -> str:
    return f"{folder.parent.name} {folder.name}"


each_version = pytest.mark.parametrize("folder", FOLDERS, ids=folder_name)
each_user = pytest.mark.parametrize("user", USERS, ids=lambda user: user.key)


@each_version
def test_plugin_json_and_package_json_agree_with_their_folder(folder: Path) -> None:
    slug, version = folder.parent.name, folder.name.removeprefix("v")
    plugin, package = read_json(folder / "plugin.json"), read_json(folder / "package.json")
    assert parse_slug(plugin["slug"]) == slug
    assert parse_version(plugin["version"]) == version
    assert package["version"] == version
    assert package["description"] == plugin["description"].removesuffix(".")


@each_version
def test_the_entry_and_every_module_were_built_for_this_version(folder: Path) -> None:
    plugin = read_json(folder / "plugin.json")
    banner = f"{plugin['slug']} {plugin['version']}"
    entry = folder / plugin["bundle_location"]
    built = [entry, *(entry.parent / f"{module['name']}.js" for module in plugin["modules"])]
    assert len(built) > 1
    for path in built:
        assert banner in path.read_text()[:200], path
    assert f"{plugin['scope']}=" in entry.read_text().replace(" ", "")


@each_version
def test_modules_of_a_plugin_have_different_names(folder: Path) -> None:
    names = [module["name"] for module in read_json(folder / "plugin.json")["modules"]]
    assert len(set(names)) == len(names)


@each_user
def test_a_users_json_holds_exactly_their_plugins_and_only_metadata(user: DemoUser) -> None:
    held = read_json(ROOT / "plugins" / "users" / f"user_{user.id}" / "installed_plugins.json")
    assert set(held) == set(user.versions)
    for entry in held.values():
        assert set(entry) == {"installation_metadata"}
        assert set(entry["installation_metadata"]) == {
            "installation_type",
            "source_url",
            "installed_by",
            "installed_at",
        }


@each_user
def test_every_version_a_user_has_is_published(user: DemoUser) -> None:
    for slug, version in user.versions.items():
        assert (SHARED / slug / f"v{version}") in FOLDERS


def test_every_users_folder_belongs_to_a_user_of_the_demo() -> None:
    folders = {path.name for path in (ROOT / "plugins" / "users").iterdir()}
    assert folders == {f"user_{user.id}" for user in USERS}


def test_the_site_holds_the_plugins_and_users_of_the_checkout(tmp_path: Path) -> None:
    make_demo_site(tmp_path / "site")
    for name in ("shared", "users"):
        made = contents(tmp_path / "site" / "plugins" / name)
        records = [path for path in made if path.endswith(f"/{RECORD_NAME}")]
        assert len(records) == (3 if name == "shared" else 0)
        for path in records:
            del made[path]
        assert made == contents(demo_plugins() / name)


def test_the_secrets_of_the_site_are_for_its_owner_alone(tmp_path: Path) -> None:
    make_demo_site(tmp_path / "site")
    for name in ("config.toml", "gateway.db"):
        assert stat.S_IMODE((tmp_path / "site" / name).stat().st_mode) == 0o600


def test_a_site_that_is_there_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    with serving({}, "--dir", str(folder), command="demo") as server:
        assert server.get("/-/ready").status == 200
    (folder / "notes.txt").write_text("not ours")
    before = contents(folder)
    with serving({}, "--dir", str(folder), command="demo") as server:
        assert server.get("/demo/users.json").status == 200
    assert contents(folder) == before


def test_the_commands_that_the_demo_prints_can_be_pasted(tmp_path: Path) -> None:
    with serving({}, "--dir", str(tmp_path / "site"), command="demo") as server:
        eventually(lambda: "".join(server.output), lambda text: "--user" in text)
        printed = [line for line in server.output if " --config " in line]
        listed, updated = (
            subprocess.run(shlex.split(line), capture_output=True, text=True, check=False)
            for line in printed
        )
        assert (listed.returncode, updated.returncode) == (0, 0)
        assert all(version in listed.stdout for version in ("1.0.0", "1.0.1"))
        ada = server.get("/demo/facts.json").json["users"]["user-1"]
        assert ada["rows"]["NetworkReview"]["version"] == "1.0.1"


def test_the_demo_says_how_to_open_the_console() -> None:
    """As a browser sends what somebody types into its question: any name, and the password."""
    with serving({}, command="demo") as server:
        printed = eventually(lambda: "".join(server.output), lambda text: "password" in text)
        (path,) = re.findall(r"The console: http://[^/]+(/\S+)", printed)
        (password,) = re.findall(r"this password: (\S+)", printed)
        credential = base64.b64encode(f"ada:{password}".encode()).decode()
        assert server.get(path).status == 401
        answer = server.get(path, {"Authorization": f"Basic {credential}"})
        assert (answer.status, answer.headers["content-type"][:9]) == (200, "text/html")


OWN_HOSTS = ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8000"]
FOREIGN_HOSTS = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.1",
                 "xlocalhost", "localhost:", "localhost:80a", "127x0x0x1"]  # fmt: skip


@pytest.fixture(scope="module")
def demo() -> Iterator[Server]:
    with serving({}, command="demo") as server:
        yield server


def test_the_demo_answers_only_under_its_own_host_names(demo: Server) -> None:
    """Another page may point its own name at the demo's address, and read what it answers."""
    token = demo.get("/demo/users.json").json["users"][0]["token"]
    file = "/api/v1/plugins/NetworkReview/plugin.json"
    headers = {"Authorization": f"Bearer {token}"}
    # The file is answered from memory the second time.
    for path in ("/", "/demo/users.json", file, file, "/-/live", "/nothing"):
        for host in OWN_HOSTS:
            assert demo.get(path, {**headers, "Host": host}).status != 421
        for host in FOREIGN_HOSTS:
            answer = demo.get(path, {**headers, "Host": host})
            assert answer.status in (400, 421), (host, path)
            assert set(answer.json) == {"detail", "code"}
            assert answer.headers["cache-control"] == "no-store"
    assert demo.get("/", {"Host": "evil.example"}).code == "misdirected_request"


def test_every_file_that_the_page_names_is_there(demo: Server) -> None:
    named = re.findall(r'(?:src|href)="(demo/[^"]+)"', demo.get("/").body.decode())
    assert {path.rpartition("/")[2] for path in named} >= {"palette.css", "host.css", "host.js"}
    assert [demo.get(f"/{path}").status for path in named] == [200] * len(named)


@pytest.mark.parametrize(
    ("listening", "own", "foreign"),
    [
        ("127.0.0.1", [b"localhost", b"127.0.0.1:80"], [b"192.0.2.1", b"demo.example"]),
        ("192.0.2.1", [b"192.0.2.1:80", b"localhost"], [b"192.0.2.2", b"192x0x2x1"]),
        ("2001:db8::1", [b"[2001:DB8::1]:80"], [b"[2001:db8::2]", b"2001:db8::1"]),
        ("demo.example", [b"demo.example"], [b"demoxexample", b"other.example"]),
        ("0.0.0.0", [b"192.0.2.1", b"[2001:db8::1]:80"], [b"demo.example", b"1.example"]),
        ("::", [b"192.0.2.1", b"[2001:db8::1]"], [b"demo.example", b""]),
    ],
)
def test_the_address_that_the_demo_listens_on_is_its_own(
    listening: str, own: list[bytes], foreign: list[bytes]
) -> None:
    hosts = own_hosts(listening)
    assert all(hosts.fullmatch(host) for host in own)
    assert not any(hosts.fullmatch(host) for host in foreign)
    assert not hosts.fullmatch(b"")  # no Host


def test_the_demo_has_the_protocol_of_serve(demo: Server) -> None:
    """uvicorn's own reads the body behind an upgrade as the next request."""
    smuggled = b"GET /-/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answers = demo.raw(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(smuggled), smuggled)
    )
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert answers.count(b"HTTP/1.1 ") == 1
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n" % (b"x" * 100_000)
    assert demo.raw(head).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("name", ["notes.txt", "config.toml", "gateway.db"])
def test_a_folder_with_something_else_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    answer = run_cli({}, "demo", "--port", "0", "--dir", str(tmp_path))
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1
    assert str(tmp_path) in answer.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_a_signal_ends_the_demo_and_removes_its_temporary_folder(
    tmp_path: Path, number: signal.Signals
) -> None:
    with serving({"TMPDIR": str(tmp_path)}, command="demo") as server:
        (made,) = tmp_path.glob("gateway-*")
        assert (made / "gateway.db").is_file()
        server.process.send_signal(number)
        server.process.wait(STOP_DEADLINE_S)
    assert list(tmp_path.glob("gateway-*")) == []
