"""What a server that is measured must tell."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from benchmarks.processes import Command
from benchmarks.site import SLUG, VERSION, asset_path


class Served(Protocol):
    """What servers must know of a site."""

    @property
    def folder(self) -> Path:
        """Theirs to write to."""

    @property
    def plugins(self) -> Path: ...

    @property
    def shared(self) -> Path:
        """The files, with brotli variants beside them."""

    @property
    def database(self) -> Path: ...

    @property
    def secret(self) -> str: ...

    @property
    def environment(self) -> dict[str, str]: ...


class Contestant(Protocol):
    """A server over the same site as the gateway."""

    name: str
    about: str
    """What it does for a request, for the legend of the report."""

    def missing(self) -> str | None:
        """What is not installed; None where it can run."""

    def command(self, site: Served, port: int) -> Command:
        """How to start it; may write files of its own into the folder."""

    def path(self, size_bytes: int) -> str:
        """The URL's path of the file of that size."""


def folder_path(size_bytes: int) -> str:
    """The path for servers whose root is `plugins/shared`."""
    return f"/{SLUG}/v{VERSION}/{asset_path(size_bytes)}"


def missing_program(name: str) -> str | None:
    return None if shutil.which(name) else f"{name} is not installed"


def missing_package(module: str) -> str | None:
    return None if find_spec(module) else f"the package {module} is not installed"
