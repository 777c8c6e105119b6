"""The sdist and the wheel have every file, and the program runs far from the checkout.

The wheel is built from the unpacked sdist, as installers do. Dependencies come from the
environment of this test, so nothing is downloaded.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import BytesParser
from pathlib import Path

import pytest

import gateway
from benchmarks.processes import free_port
from tests.conftest import require, require_program
from tests.support.server import Server, clean_environment, listening
from tests.support.site import SECRET

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
INCLUDED = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
KEY = {"GATEWAY__IDENTITY__JWT__SECRET": SECRET}
ADMIN = {"GATEWAY__ADMIN__TOKEN": "t" * 32}


def build(source: Path, kind: str, target: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (package,) = target.iterdir()
    return package


@dataclass(frozen=True, slots=True)
class Packages:
    sdist: Path
    unpacked: Path
    """The folder that the sdist unpacks to."""
    wheel: Path


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    folder = tmp_path_factory.mktemp("packages")
    sdist = build(ROOT, "sdist", folder / "sdist")
    (folder / "unpacked").mkdir()
    subprocess.run(["tar", "-xzf", sdist, "-C", folder / "unpacked"], check=True)
    (unpacked,) = (folder / "unpacked").iterdir()
    return Packages(sdist, unpacked, build(unpacked, "wheel", folder / "wheel"))


@pytest.fixture(scope="module")
def checkout() -> set[str]:
    """The paths of all files that git knows, or would add."""
    git = [require_program("git"), "-C", str(ROOT)]
    require(ROOT if (ROOT / ".git").exists() else None, "a checkout")
    listed = subprocess.run(
        [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    return {path for path in listed.stdout.split("\0") if (ROOT / path).is_file()}


def test_the_sdist_has_every_file_of_the_checkout_and_no_other(
    packages: Packages, checkout: set[str]
) -> None:
    files = (path for path in packages.unpacked.rglob("*") if path.is_file())
    names = {path.relative_to(packages.unpacked).as_posix() for path in files}
    assert names == checkout | {"PKG-INFO"}


def test_the_wheel_has_every_file_of_the_package_and_no_other(
    packages: Packages, checkout: set[str]
) -> None:
    expected = {path for path in checkout if path.startswith("gateway/")}
    for source, target in INCLUDED.items():
        below = {path for path in checkout if path == source or path.startswith(f"{source}/")}
        assert below, source
        expected |= {path.replace(source, target, 1) for path in below}
    names = zipfile.ZipFile(packages.wheel).namelist()
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_the_metadata_has_the_readme_the_licence_and_the_version(packages: Packages) -> None:
    with zipfile.ZipFile(packages.wheel) as wheel:
        names = {Path(name).name: name for name in wheel.namelist() if ".dist-info/" in name}
        metadata = BytesParser().parsebytes(wheel.read(names["METADATA"]))
        assert wheel.read(names["LICENSE"]) == (ROOT / "LICENSE").read_bytes()
    assert metadata["Version"] == gateway.__version__
    assert metadata["Description-Content-Type"] == "text/markdown"
    text = metadata.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert text.decode().strip() == (ROOT / "README.md").read_text().strip()


# The installed program


@dataclass(frozen=True, slots=True)
class Installed:
    """The wheel in a virtual environment of its own."""

    folder: Path

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    @property
    def gateway(self) -> str:
        return str(self.folder / "bin" / "gateway")

    def run(self, *command: str, cwd: Path) -> str:
        """What it printed. Raises: subprocess.CalledProcessError."""
        environment = {**clean_environment(), **KEY, "PYTHONPATH": ""}
        done = subprocess.run(
            command, cwd=cwd, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout

    def site_packages(self) -> Path:
        (folder,) = self.folder.glob("lib/python*/site-packages")
        return folder


@pytest.fixture(scope="module")
def installed(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    there = Installed(folder)
    pip = [sys.executable, "-m", "pip", "--python", there.python, "install", "--quiet"]
    subprocess.run([*pip, "--no-index", "--no-deps", packages.wheel], check=True)
    (there.site_packages() / "of_this_test.pth").write_text(sysconfig.get_path("purelib"))
    return there


@pytest.fixture(scope="module")
def new_site(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    installed.run(installed.gateway, "init", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def demo(installed: Installed, new_site: Path) -> Iterator[Server]:
    command = ("demo", "--port", "0")
    with listening({"PYTHONPATH": ""}, *command, program=[installed.gateway], cwd=new_site) as it:
        yield it


def test_the_program_is_the_installed_one(installed: Installed, tmp_path: Path) -> None:
    code = "import gateway; print(gateway.__file__)"
    path = installed.run(installed.python, "-c", code, cwd=tmp_path).strip()
    assert Path(path).is_relative_to(installed.folder)
    by_script = installed.run(installed.gateway, "--version", cwd=tmp_path)
    assert by_script == installed.run(installed.python, "-m", "gateway", "--version", cwd=tmp_path)
    assert gateway.__version__ in by_script


def test_a_new_site_passes_its_check_and_is_served(installed: Installed, new_site: Path) -> None:
    assert "wrong" not in installed.run(installed.gateway, "check", cwd=new_site)
    environment = {"PYTHONPATH": "", **KEY, **ADMIN}
    command = ("serve", "--port", "0")
    with listening(environment, *command, program=[installed.gateway], cwd=new_site) as server:
        assert server.get("/-/ready").status == 200
        answer = server.get("/-/console", {"Authorization": f"Bearer {'t' * 32}"})
        assert (answer.status, answer.headers["content-type"][:9]) == (200, "text/html")
        assert server.stop() == 0


def test_the_demo_shows_its_page_and_sends_a_plugins_file(demo: Server) -> None:
    page = demo.get("/")
    assert (page.status, page.headers["content-type"][:9]) == (200, "text/html")
    token = demo.get("/demo/users.json").json["users"][0]["token"]
    path = "/api/v1/plugins/NetworkReview/dist/remoteEntry.js"
    answer = demo.get(path, {"Authorization": f"Bearer {token}"})
    assert answer.status == 200
    assert b"NetworkReview" in answer.body


# The commands of the README


def test_the_commands_of_the_readme_end_with_a_file(installed: Installed, tmp_path: Path) -> None:
    """`pip install .` is what `installed` has done already: here it only must be those words."""
    *_, commands, shown = re.findall(
        r"(?ms)^```(?:sh|text)\n(.*?)^```$", (ROOT / "README.md").read_text()
    )
    shutil.copytree(ROOT / "plugins" / "shared", tmp_path / "plugins" / "shared")
    pip = tmp_path / "bin" / "pip"
    pip.parent.mkdir()
    pip.write_text("#!/bin/sh\nexec test \"$*\" = 'install .'\n")
    pip.chmod(0o755)
    # A busy machine may start the server later than a reader types.
    (tmp_path / ".curlrc").write_text("retry = 9\nretry-connrefused\n")
    port = str(free_port())
    environment = {
        **clean_environment(),
        "CURL_HOME": str(tmp_path),
        "PYTHONPATH": "",
        "GATEWAY__SERVER__PORT": port,
        "PATH": os.pathsep.join(
            [str(pip.parent), str(installed.folder / "bin"), os.environ["PATH"]]
        ),
    }
    require_program("curl")
    script = f"set -eu; trap 'kill $(jobs -p)' EXIT\n{commands.replace('8000', port)}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path, env=environment, check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    assert shown.strip() in done.stdout, done.stdout
    assert "NetworkReview" in done.stdout.split("\n\n", 1)[1]
