"""docs/how-to/troubleshooting.md: its commands are run on sites that have the fault, and say so.

Commands are run again until they say what the page shows: a server notices some faults a moment
after they are there.
"""

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.processes import free_port
from tests.conftest import require_program
from tests.support.background import in_background
from tests.support.commands import run
from tests.support.site import token
from tests.support.terminal import terminal
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "troubleshooting.md").read_text()
SECTIONS = dict(re.findall(r"(?ms)^### (.*?)\n(.*?)(?=^##|\Z)", PAGE))
REMEDIES = dict(re.findall(r"(?m)^\| `(\w+)` \| .* \| `(gateway .*)` \|$", PAGE))
EXPLAIN = "gateway explain --user ada Hello dist/remoteEntry.js"
DEADLINE_S = 30.0
NOT_FOUND = 127


class Operator:
    """Has a terminal in the folder of a site, which a gateway may serve."""

    def __init__(self, site: Path, home: Path) -> None:
        self.site = site
        self._port = str(free_port())
        self._environment = {**terminal(home), "GATEWAY__SERVER__PORT": self._port}
        self._server = ExitStack()

    def serve(self, settings: Mapping[str, str]) -> None:
        self.stop()
        self._environment |= settings
        command = ["gateway", "serve"]
        running = in_background(command, self.site, self._environment)
        self._server.enter_context(running).wait_for("running on", DEADLINE_S)

    def stop(self) -> None:
        self._server.close()

    def say(self, block: str) -> str:
        """What the commands print. They may end with an error: the page is about errors."""
        done = subprocess.run(
            ["bash", "-c", re.sub(r"\b8000\b", self._port, block)],
            cwd=self.site, env=self._environment, check=False, timeout=DEADLINE_S,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode != NOT_FOUND, done.stdout
        return re.sub(rf"\b{self._port}\b", "8000", done.stdout)

    def expect(self, block: str, shown: str) -> str:
        """That the commands come to say each line that is shown, or a line with it."""

        def is_said(text: str) -> bool:
            lines = [" ".join(line.split()) for line in text.splitlines()]
            expected = [" ".join(line.split()) for line in shown.splitlines()]
            return all(any(line in it for it in lines) for line in expected)

        return eventually(lambda: self.say(block), is_said, DEADLINE_S)


# Faults


def none(operator: Operator) -> None:
    """The site is in order, and something else is not."""


def a_token_of_somebody_else(operator: Operator) -> None:
    (operator.site / "token.txt").write_text(token("ada", "k" * 32))


def a_second_user(operator: Operator) -> None:
    operator.say("gateway install Hello --user ben --version 1.0.1")


def no_server(operator: Operator) -> None:
    operator.stop()


def no_database(operator: Operator) -> None:
    (operator.site / "gateway.db").rename(operator.site / "moved.db")


def no_modules(operator: Operator) -> None:
    path = operator.site / "plugins" / "shared" / "Hello" / "v1.0.0" / "plugin.json"
    path.write_text('{"slug": "Hello", "version": "1.0.0"}')


def a_misspelt_setting(operator: Operator) -> None:
    path = operator.site / "config.toml"
    path.write_text(path.read_text().replace("#port = 8000", "prot = 8000"))


def changes_off(operator: Operator) -> None:
    operator.serve({"GATEWAY__ACCESS__CHANGES": "off"})


FAULTS: Mapping[str, Callable[[Operator], None]] = {
    "401 not_authenticated": none,
    "401 invalid_token": a_token_of_somebody_else,
    "403 type_not_allowed": none,
    "404, though the user should have the plugin": none,
    "405 when a page installs or updates a plugin": changes_off,
    "409 ambiguous_version": a_second_user,
    "410 version_retired": none,
    "502 from nginx or Caddy": no_server,
    "503 source_unavailable": no_database,
    "The page shows the old version": none,
    "A chunk fails to load": none,
    "The browser says that CORS blocks a request": none,
    "The plugin is installed, and nothing is shown": no_modules,
    "The first load of a page is slow": none,
    "gateway serve ends at once": a_misspelt_setting,
    "The address is in use": none,
}


def no_json(operator: Operator) -> None:
    (operator.site / "plugins" / "users" / "user_ada" / "installed_plugins.json").unlink()


def no_row(operator: Operator) -> None:
    operator.say("cp -r plugins/users kept && gateway uninstall Hello --user ada")
    operator.say("rm -r plugins/users && mv kept plugins/users")


def disabled(operator: Operator) -> None:
    operator.say("gateway disable Hello --user ada")


def no_folder(operator: Operator) -> None:
    shutil.rmtree(operator.site / "plugins" / "shared" / "Hello" / "v1.0.0")


def no_entry(operator: Operator) -> None:
    (operator.site / "plugins/shared/Hello/v1.0.0/dist/remoteEntry.js").unlink()


NOT_SERVED: Mapping[str, Callable[[Operator], None]] = {
    "not_installed": no_json,
    "unknown_plugin": no_row,
    "plugin_disabled": disabled,
    "version_not_published": no_folder,
    "asset_not_found": no_entry,
}


@pytest.fixture(scope="module")
def made_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """User `ada` has Hello 1.0.0; 1.0.1 is published too."""
    folder = tmp_path_factory.mktemp("made")
    source, config = folder / "hello", str(folder / "site" / "config.toml")
    commands = [["init", "--with-secret", str(folder / "site")]]
    for version in ("1.0.0", "1.0.1"):
        (source / version / "dist").mkdir(parents=True)
        metadata = {"slug": "Hello", "version": version, "modules": [{"name": "Greeting"}]}
        (source / version / "plugin.json").write_text(json.dumps(metadata))
        for name in ("remoteEntry", "Greeting", "large"):
            (source / version / "dist" / f"{name}.js").write_text("window.Hello = 1;\n" * 100)
        commands.append(["--config", config, "publish", str(source / version)])
    commands.append(["--config", config, "install", "Hello", "--user", "ada", "--version", "1.0.0"])
    for command in commands:
        result = run({}, *command)
        assert result.exit_code == 0, result.output
    return folder / "site"


@pytest.fixture
def operator(made_site: Path, tmp_path: Path) -> Iterator[Operator]:
    require_program("curl")
    operator = Operator(shutil.copytree(made_site, tmp_path / "site"), tmp_path)
    yield operator
    operator.stop()


def test_every_symptom_has_a_fault() -> None:
    assert list(SECTIONS) == list(FAULTS)
    assert list(REMEDIES) == list(NOT_SERVED)


@pytest.mark.parametrize("symptom", FAULTS)
def test_the_commands_say_what_the_page_shows(operator: Operator, symptom: str) -> None:
    operator.serve({})
    FAULTS[symptom](operator)
    commands = ""
    said = ""
    for kind, block in re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", SECTIONS[symptom]):
        if kind == "sh":
            commands, said = block, operator.say(block)
        elif kind == "text":
            said = operator.expect(commands, block)
        elif kind == "toml":
            assert "access-control-allow-origin" not in said
            operator.serve(as_environment(tomllib.loads(block)))
    assert said


def as_environment(settings: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    return {
        f"GATEWAY__{section.upper()}__{key.upper()}": json.dumps(value)
        for section, keys in settings.items()
        for key, value in keys.items()
    }


@pytest.mark.parametrize("code", NOT_SERVED)
def test_the_remedy_of_a_404_ends_it(operator: Operator, code: str) -> None:
    NOT_SERVED[code](operator)
    said = operator.say(EXPLAIN)
    assert f"404 {code}:" in said
    remedy = REMEDIES[code]
    if code == "asset_not_found":
        assert "dist/remoteEntry.js" in operator.say(remedy)
        return
    operator.say(remedy)
    assert "● 200: " in operator.say(EXPLAIN)


def test_an_update_ends_the_old_version(operator: Operator) -> None:
    operator.serve({})
    (row,) = re.findall(r"(?m)^\| old \| old \| .* \| `(.*)` \|$", PAGE)
    (asked,) = re.findall(
        r"(?m)^curl .*manifest \| grep .*$", SECTIONS["The page shows the old version"]
    )
    operator.say(row)
    operator.expect(asked, "@1.0.1~")
    assert "told all workers" in operator.say("gateway cache purge --user ada")
