"""`gateway new`: what it writes and refuses. tests/development/ builds it with npm."""

import json
import re
from pathlib import Path

import pytest

from gateway.disk.metadata import read_metadata
from gateway.names import Slug
from gateway.upkeep import new_plugin
from gateway.upkeep.new_plugin import BUNDLERS, make_plugin
from tests.support.commands import line_of, run
from tests.support.site import contents

each_bundler = pytest.mark.parametrize("bundler", BUNDLERS)


@each_bundler
def test_a_new_plugin_is_called_by_its_name_everywhere(tmp_path: Path, bundler: str) -> None:
    made = run({}, "new", "NetworkReview", "--bundler", bundler, "--dir", str(tmp_path))
    assert made.exit_code == 0, made.output
    assert f"cd {tmp_path}/NetworkReview\n" in made.stdout
    files = contents(tmp_path)
    assert {"NetworkReview/src/NetworkReview.jsx", "NetworkReview/.gitignore"} <= set(files)
    assert not re.search(rb"(?i)my-?plugin", b"".join(files.values()))
    assert not [name for name in files if "MyPlugin" in name]
    assert json.loads(files["NetworkReview/package.json"])["name"] == "network-review"


@each_bundler
def test_its_plugin_json_says_what_publishing_and_a_page_need(tmp_path: Path, bundler: str) -> None:
    metadata = read_metadata(make_plugin(tmp_path, Slug("Notes"), bundler))
    assert (metadata["slug"], metadata["scope"]) == ("Notes", "Notes")
    assert metadata["bundle_location"] == "dist/remoteEntry.js"
    assert [module["name"] for module in metadata["modules"]] == ["Notes"]


@each_bundler
def test_the_versions_of_its_packages_are_ranges_and_there_is_no_lock_file(
    tmp_path: Path, bundler: str
) -> None:
    folder = make_plugin(tmp_path, Slug("Notes"), bundler)
    package = json.loads((folder / "package.json").read_bytes())
    assert set(package["scripts"]) == {"build", "watch", "dev"}
    assert all(version.startswith("^") for version in package["devDependencies"].values())
    assert not (folder / "package-lock.json").exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("network-review", "a capital letter, then letters and digits"),
        ("2Fast", "a capital letter, then letters and digits"),
        ("../Up", "a capital letter, then letters and digits"),
        ("Übersicht", "a capital letter, then letters and digits"),
        ("Two Words", "a capital letter, then letters and digits"),
        ("", "a capital letter, then letters and digits"),
        ("Map", "it means something else in a page"),
        ("Details", "it means something else in a page"),
        ("Con", "not a plugin slug"),
        ("A" * 101, "not a plugin slug"),
    ],
)
def test_a_name_that_no_plugin_can_have_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    assert reason in line_of(run({}, "new", name, "--dir", str(tmp_path)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["file", "folder", "broken link"])
def test_what_exists_stays_as_it_is(tmp_path: Path, kind: str) -> None:
    there = tmp_path / "Notes"
    if kind == "file":
        there.write_text("mine")
    elif kind == "folder":
        there.mkdir()
    else:
        there.symlink_to("nowhere")
    assert "Notes: exists already" in line_of(run({}, "new", "Notes", "--dir", str(tmp_path)))
    assert list(tmp_path.iterdir()) == [there]


def test_nothing_is_left_of_a_plugin_that_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    really_write = Path.write_bytes

    def write_bytes(path: Path, content: bytes) -> int:
        if len(written) == 3:
            raise OSError(28, "No space left on device", str(path))
        written.append(path)
        return really_write(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    assert "No space left" in line_of(run({}, "new", "Notes", "--dir", str(tmp_path)))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mkdtemp(**_: object) -> str:
        raise PermissionError(13, "Permission denied", "/…/.Notes.x")

    monkeypatch.setattr("tempfile.mkdtemp", mkdtemp)
    line = line_of(run({}, "new", "Notes", "--dir", str(tmp_path)))
    assert line == f"Error: {tmp_path}: cannot be written to: Permission denied"


def test_a_name_with_a_space_in_its_path_can_be_copied_to_a_shell(tmp_path: Path) -> None:
    parent = tmp_path / "my plugins"
    parent.mkdir()
    made = run({}, "new", "Notes", "--dir", str(parent))
    assert f"cd '{parent}/Notes'\n" in made.stdout


def test_templates_name_no_registry() -> None:
    folder = Path(new_plugin.__file__).parent / "plugin_templates"
    for name, content in contents(folder).items():
        hosts = set(re.findall(rb"\w+://([^/:\"'`]+)", content))
        assert hosts <= {b"127.0.0.1", b"localhost", b"www.w3.org", b"${origin}"}, name
