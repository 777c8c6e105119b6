"""ServeStatic's ASGI application (WhiteNoise's successor), its files found at the start."""

import importlib
import os
from typing import Any

from benchmarks.processes import Command, uvicorn_command
from benchmarks.serve.contestants.contestant import Served, folder_path, missing_package

_FOLDER = "BENCHMARKS_FOLDER"


class ServeStatic:
    name = "servestatic"
    about = "ServeStatic ASGI with its .br files, no checks"

    def missing(self) -> str | None:
        return missing_package("servestatic")

    def command(self, site: Served, port: int) -> Command:
        factory = "benchmarks.serve.contestants.servestatic:create_app"
        started = uvicorn_command(factory, port, {_FOLDER: str(site.shared)})
        return Command((*started.arguments, "--lifespan", "off"), started.environment)

    def path(self, size_bytes: int) -> str:
        return folder_path(size_bytes)


def create_app() -> Any:
    servestatic = importlib.import_module("servestatic")  # of the bench group, without types
    return servestatic.ServeStaticASGI(None, root=os.environ[_FOLDER])
