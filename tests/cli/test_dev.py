"""`gateway dev`: one user gets what the bundler writes, and nothing else is different."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.development.folders import ENTRY, METADATA, built, plugin_folder, rebuild, write
from tests.support.server import Server, run_cli, serving, the_line_of
from tests.support.site import ADA, BEN, NOBODY, Site, bearer, contents
from tests.support.urls import MANIFEST, integrity_of, own, pin_of, public, version_for
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

REVIEW = {"slug": "Review", "version": "3.0.0"}


@contextmanager
def developing(site: Site, folder: Path, *arguments: str, user: str = ADA) -> Iterator[Server]:
    """`gateway dev` over the site, whose temporary files lie in `tmp` below its folder."""
    temporary = site.folder / "tmp"
    temporary.mkdir(exist_ok=True)
    environment = {**site.environment, "TMPDIR": str(temporary)}
    with serving(environment, str(folder), "--user", user, *arguments, command="dev") as server:
        yield server


def entry(server: Server, user: str, plugin: str = "Mine") -> str:
    """What the user gets: the text of the entry, or the code of the refusal."""
    answer = server.get(own(plugin), bearer(user))
    return answer.body.decode() if answer.status == 200 else answer.code


def build(server: Server, folder: Path, text: str, plugin: str = "Mine") -> None:
    """Writes a build, and returns when Ada gets it."""
    rebuild(folder, text)
    eventually(lambda: entry(server, ADA, plugin), lambda got: got == built(text)[ENTRY])


def site_state(site: Site) -> tuple[object, ...]:
    """Everything that `dev` must not change."""
    return (
        contents(site.plugins, "shared", "users", "audit"),
        site.query("SELECT * FROM plugin ORDER BY id"),
        site.query("SELECT * FROM module ORDER BY id"),
    )


def test_the_terminal_says_what_is_waited_for_and_each_build(site: Site, tmp_path: Path) -> None:
    folder = write(plugin_folder(tmp_path / "mine"), {"plugin.json": REVIEW})
    with developing(site, folder) as server:
        assert version_for(server, ADA)() == "1.0.0", "their own version, until the first build"
        says(server, f"waiting for the first build of Review: {folder / ENTRY}\n")
        build(server, folder, "1", "Review")
        says(server, "build 1 of Review, 3 files, 0 kB, seen ")
        says(server, "warning: plugin.json: it has no modules")  # as `gateway lint` says
        write(folder, {"plugin.json": "{", **built("2")})
        says(server, "build 2 of Review is refused, build 1 stays: plugin.json: not valid JSON")
        assert entry(server, ADA, "Review") == built("1")[ENTRY]
        write(folder, {"plugin.json": {**REVIEW, "bundleLocation": "x"}})
        says(server, "warning: plugin.json: bundleLocation means nothing")
        assert sum("it has no modules" in line for line in server.output) == 1, "said once"


def test_a_new_slug_is_said_and_the_plugin_is_served_as_before(site: Site, tmp_path: Path) -> None:
    folder = write(plugin_folder(tmp_path / "mine", "1"), {"plugin.json": REVIEW})
    with developing(site, folder) as server:
        for text in ("2", "3"):
            write(folder, {"plugin.json": {**REVIEW, "slug": "Renamed"}, **built(text)})
            eventually(lambda: entry(server, ADA, "Review"), built(text)[ENTRY].__eq__)
        says(server, "warning: plugin.json: the plugin is called Renamed now, and is still served")
        write(folder, {"plugin.json": {**REVIEW, "modules": []}, **built("4")})
        says(server, "build 4 of Review")
        assert sum("is called Renamed" in line for line in server.output) == 1, "said once"


def test_a_slug_that_the_command_names_may_be_another(site: Site, tmp_path: Path) -> None:
    folder = write(plugin_folder(tmp_path / "mine", "1"), {"plugin.json": REVIEW})
    with developing(site, folder, "--slug", "Other") as server:
        says(server, "warning: plugin.json: it has no modules")
        assert not any("is called" in line for line in server.output)


def says(server: Server, text: str) -> None:
    eventually(lambda: any(text in line for line in server.output), bool)


def test_one_user_gets_each_build_and_the_site_stays_as_it_is(
    either_site: Site, tmp_path: Path
) -> None:
    site = either_site
    folder = write(plugin_folder(tmp_path / "mine", "1"), {"plugin.json": REVIEW})
    before = site_state(site)
    with developing(site, folder) as server:
        assert entry(server, ADA, "Review") == built("1")[ENTRY]
        says(server, f'<script src="http://127.0.0.1:{server.port}/-/dev/reload.js"></script>')
        assert server.get("/-/dev/reload.js").status == 200
        assert server.get(public(f"{ADA}_Review")).body.decode() == built("1")[ENTRY]
        first = pin_of(server, ADA, "Review")
        assert first.startswith("@3.0.0-dev.1~")
        build(server, folder, "2", "Review")
        assert pin_of(server, ADA, "Review").startswith("@3.0.0-dev.2~")

        assert version_for(server, BEN)() == "1.0.1", "another user is untouched"
        assert version_for(server, ADA, "Eyes")() == "2.0.0", "other plugins are untouched"
        assert server.get(public("Review")).code == "ambiguous_version", "as the table says"

        chunk = server.get(own("Review", f"{first}/dist/1.js"), bearer(ADA))
        assert chunk.body.decode() == built("1")["dist/1.js"], "open pages keep their build"
        assert "immutable" not in chunk.headers["cache-control"]
        assert site_state(site) == before
        assert server.stop() == 0
    assert site_state(site) == before
    assert contents(site.folder / "tmp") == {}
    assert not list((site.folder / "tmp").iterdir())


def test_a_user_who_does_not_have_the_plugin_gets_it(site: Site, tmp_path: Path) -> None:
    site_that_changes = {"GATEWAY__ACCESS__CHANGES": "users"}
    arguments = (str(plugin_folder(tmp_path / "mine", "1")), "--user", ADA)
    with serving({**site.environment, **site_that_changes}, *arguments, command="dev") as server:
        plugin = server.get(f"{MANIFEST}/designer", bearer(ADA)).json["Mine"]
        assert (plugin["scope"], plugin["database_id"]) == ("mine", f"{ADA}_Mine")
        assert [module["name"] for module in plugin["modules"]] == ["Panel"]
        sent = server.get(public(plugin["database_id"], plugin["bundlelocation"]))
        assert (sent.status, integrity_of(sent.body)) == (200, plugin["integrity"])
        assert entry(server, BEN) == "not_installed"
        assert "Mine" not in server.get(MANIFEST, bearer(BEN)).json
        assert server.get(public("Mine")).code == "unknown_plugin"
        url = own("Review", "uninstall")
        assert server.request("DELETE", url, bearer(ADA)).status == 405, (
            "whatever access.changes says"
        )


def test_a_kill_leaves_nothing_but_the_temporary_folder(site: Site, tmp_path: Path) -> None:
    folder = plugin_folder(tmp_path / "mine", "1")
    before = site_state(site)
    with developing(site, folder) as server:
        build(server, folder, "2")
        assert pin_of(server, ADA, "Mine")  # a look at the version, which is noted
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    assert site_state(site) == before
    (left,) = (site.folder / "tmp").iterdir()
    assert left.name.startswith("gateway-dev-")
    noted = {path.partition("/")[0] for path in contents(site.plugins / "cache" / "versions")}
    assert "Mine" not in noted


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--user", NOBODY + "0"), f"--user: the site has no user {NOBODY}0 (gateway list"),
        ((), "--user: the site has several users; name the one who gets the plugin"),
        (("--user", "../x"), "--user: not a user id: '../x'"),
        (("--user", ADA, "--host", "0.0.0.0"), "is for loopback alone, not for 0.0.0.0"),
        (("--user", ADA, "--slug", "a/b"), "not a plugin slug: 'a/b'"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    site: Site, tmp_path: Path, arguments: tuple[str, ...], line: str
) -> None:
    folder = plugin_folder(tmp_path / "mine", "1")
    result = run_cli(site.environment, "dev", str(folder), *arguments)
    assert line in the_line_of(result)


def test_a_folder_that_names_no_plugin_is_refused_in_one_line(site: Site, tmp_path: Path) -> None:
    folder = write(tmp_path / "a" / "b" / "c", built("1"))
    line = the_line_of(run_cli(site.environment, "dev", str(folder), "--user", ADA))
    assert "no plugin.json in it or above it that names the plugin; --slug can name it" in line


def test_a_folder_with_a_site_that_cannot_be_served_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text("")
    folder = plugin_folder(tmp_path / "mine", "1")
    line = the_line_of(run_cli({}, "dev", str(folder)))
    assert "config.toml, the site of this folder, cannot be served: identity.jwt.secret" in line
    assert "in a folder without a config.toml, gateway dev makes a site of its own" in line


def test_without_a_site_it_makes_a_temporary_one_with_a_page(tmp_path: Path) -> None:
    folder = plugin_folder(tmp_path / "mine", "1")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    arguments = (str(folder), "--user", "Grace", "--slug", "Other")
    elsewhere = ("env", "-C", str(temporary))  # no config.toml is there
    with serving({"TMPDIR": str(temporary)}, *arguments, command="dev", under=elsewhere) as server:
        assert any("/?user=user-2" in line for line in server.output)
        assert server.get("/").status == 200
        users = {user["name"]: user for user in server.get("/demo/users.json").json["users"]}
        token = {"Authorization": f"Bearer {users['Grace']['token']}"}
        plugin = server.get(MANIFEST, token).json["Other"]
        assert plugin["version"] == f"{METADATA['version']}-dev.1"
        token = {"Authorization": f"Bearer {users['Ada']['token']}"}
        assert "Other" not in server.get(MANIFEST, token).json
        assert server.stop() == 0
    assert not list(temporary.iterdir())


def test_the_temporary_site_says_whom_it_has(tmp_path: Path) -> None:
    folder = plugin_folder(tmp_path / "mine", "1")
    result = run_cli({}, "dev", str(folder), "--user", "Eve", cwd=tmp_path)
    assert "--user: no user 'Eve'; the temporary site has Ada (user-1), Grace" in the_line_of(
        result
    )
