"""`gateway lint` and the warnings of `gateway publish`, as a plugin developer sees them."""

import json
import shutil
from pathlib import Path

import pytest

from gateway.disk.metadata import SCHEMA_FILE
from tests.lint.support import ENTRY, make_plugin
from tests.support.commands import line_of, run

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "plugins" / "shared"


def lint(*arguments: object, plugins: Path | None = None) -> tuple[int, list[str]]:
    """Exit code, and lines of stdout; nothing is on stderr."""
    root = plugins or Path("/nonexistent")
    result = run({"GATEWAY__STORAGE__ROOT": str(root)}, "lint", *map(str, arguments))
    assert result.stderr == ""
    return result.exit_code, result.stdout.splitlines()


def test_a_plugin_without_a_flaw(tmp_path: Path) -> None:
    assert lint(make_plugin(tmp_path)) == (0, ["MyCard 1.0.0, 2 files: nothing to say"])


def test_the_demos_plugins_have_no_warning() -> None:
    for folder in DEMO.glob("*/*"):
        code, lines = lint(folder, "--strict", plugins=DEMO.parent)
        assert code == 0, lines
        assert lines[-1].endswith(" 1 note"), lines


def test_findings_are_lines_with_errors_first_and_the_exit_code_tells(tmp_path: Path) -> None:
    folder = make_plugin(tmp_path, "webpack-fixed", scope="Other", files={"dist/104.js": ""})
    code, lines = lint(folder)
    assert code == 1
    assert [line.split()[0] for line in lines] == ["error", "warning", "note", "MyCard"]
    assert lines[0] == (
        "error    plugin.json: scope is 'Other', but dist/remoteEntry.js leaves its container in"
        ' window.MyCard; write "scope": "MyCard", or name the container \'Other\' where it is built'
        " [wrong_scope]"
    )
    assert lines[-1] == "MyCard 1.0.0, 3 files: 1 error, 1 warning, 1 note"


def test_warnings_count_for_strict_alone_and_notes_never(tmp_path: Path) -> None:
    warned = make_plugin(tmp_path / "warned", "webpack-fixed")
    noted = make_plugin(tmp_path / "noted", modules=[{"name": "Card"}])
    assert [lint(warned)[0], lint(warned, "--strict")[0], lint(noted, "--strict")[0]] == [0, 1, 0]


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_an_archive_is_read_as_its_folder(tmp_path: Path, kind: str) -> None:
    folder = make_plugin(tmp_path / "plugin", modules=[{"name": "Kard"}])
    archive = shutil.make_archive(str(tmp_path / "archive"), kind, tmp_path, "plugin")
    assert lint(archive) == lint(folder)


def test_json_is_an_object_per_finding_and_a_summary(tmp_path: Path) -> None:
    folder = make_plugin(tmp_path, modules=[{"name": "Card"}])
    code, lines = lint(folder, "--json")
    finding, summary = map(json.loads, lines)
    assert code == 0
    text = "it exposes ./List, which plugin.json does not list in modules; list it to have it shown"
    assert finding == {
        "code": "exposed_not_listed",
        "severity": "note",
        "files": [ENTRY],
        "text": text,
    }
    assert summary == {"summary": {"errors": 0, "warnings": 0, "notes": 1}}


def test_what_a_plugin_says_does_not_steer_the_terminal(tmp_path: Path) -> None:
    folder = make_plugin(tmp_path, scope="\x1b[31m[red]x[/red]\x07")
    _, lines = lint(folder)
    assert "'\\\\x1b[31m[red]x[/red]\\\\x07'" in lines[0] or "\x1b" not in lines[0]
    assert "\x07" not in "".join(lines)


def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "plugin.zip").write_bytes(b"PK\x03\x04 and no more")
    for name, words in (
        ("none", "does not exist"),
        ("empty", "holds no files"),
        ("plugin.zip", "the .zip is damaged"),
    ):
        assert words in line_of(run({}, "lint", str(tmp_path / name)))
    assert "Missing argument 'SOURCE'" in line_of(run({}, "lint"))


def test_the_schema_is_printed_without_a_source() -> None:
    result = run({}, "lint", "--schema")
    assert (result.exit_code, result.stdout) == (0, SCHEMA_FILE.read_text())


def test_publish_warns_on_stderr_and_publishes(tmp_path: Path) -> None:
    environment = {"GATEWAY__STORAGE__ROOT": str(tmp_path / "plugins")}
    (tmp_path / "plugins").mkdir()
    folder = make_plugin(tmp_path / "plugin", "webpack-fixed", scope="Other")
    result = run(environment, "publish", str(folder))
    assert result.exit_code == 0
    assert result.stdout.startswith("published MyCard 1.0.0")
    assert [line.partition(": ")[0::2] for line in result.stderr.splitlines()] == [
        ("warning", line.split("  ", 1)[1].strip().rpartition(" [")[0])
        for line in lint(folder)[1]
        if line.startswith(("error", "warning"))
    ]


def test_publish_leaves_what_is_more_than_three_warnings_to_lint(tmp_path: Path) -> None:
    environment = {"GATEWAY__STORAGE__ROOT": str(tmp_path / "plugins")}
    (tmp_path / "plugins").mkdir()
    modules = [{"name": f"M{number}"} for number in range(5)]
    folder = make_plugin(tmp_path / "a plugin", modules=modules)
    lines = run(environment, "publish", str(folder)).stderr.splitlines()
    assert len(lines) == 4
    assert lines[3] == f"warning: 2 more warnings: gateway lint '{folder}'"


def test_publish_says_nothing_about_a_plugin_without_a_flaw(tmp_path: Path) -> None:
    environment = {"GATEWAY__STORAGE__ROOT": str(tmp_path / "plugins")}
    (tmp_path / "plugins").mkdir()
    assert run(environment, "publish", str(make_plugin(tmp_path / "plugin"))).stderr == ""
