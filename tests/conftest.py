"""Fixtures that many test files share. Each module gets its own site and server."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings

from tests.support.postgres import Postgres, PostgresSite, find_binaries, running_postgres
from tests.support.server import server_of
from tests.support.site import Site, populate, populated

T = TypeVar("T")

QUICK = bool(os.environ.get("QUICK"))
"""For a run of about a minute (`make test-quick`): without tests that are marked `slow`, and
without those that need a program other than Python."""

# Some container images set it. Each of hundreds of processes would compile the gateway again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A machine that is busy with something else is no reason to fail.
settings.register_profile("whole", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=20)
settings.load_profile("quick" if QUICK else "whole")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if QUICK:
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Files that take long first: no process is left alone with one of them at the end.
        long_files = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in long_files)


def require_program(name: str) -> str:
    """The program's path; skips where it is missing, and fails in CI, where it must not be."""
    return require(shutil.which(name), name)


def require(found: T | None, name: str) -> T:
    """What was found; skips where it is missing, and fails in CI, where it must not be."""
    if QUICK:
        pytest.skip(f"the quick run uses no {name}")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed, and CI must run this test")
        pytest.skip(f"needs {name}")
    return found


def folder_of_all_workers(factory: pytest.TempPathFactory) -> Path:
    """A folder of this run, which the processes of pytest-xdist share."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return populated(tmp_path_factory.mktemp("site"))


server = server_of()


@pytest.fixture
def rows_restored(site: Site) -> Iterator[None]:
    with site.rows_restored():
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres(require(find_binaries(), "PostgreSQL")) as running:
        yield running


@pytest.fixture
def empty_site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


@pytest.fixture(params=["sqlite", "postgres"])
def either_site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """A populated site over each of the databases."""
    if request.param == "sqlite":
        return populated(tmp_path / "site")
    postgres: Postgres = request.getfixturevalue("postgres")
    return populate(PostgresSite(tmp_path / "site", postgres.new_database()))
