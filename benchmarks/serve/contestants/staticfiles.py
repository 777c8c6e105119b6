"""Starlette's StaticFiles, with nothing around it and no checks of users."""

import os

from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from benchmarks.processes import Command, uvicorn_command
from benchmarks.serve.contestants.contestant import Served, folder_path

_FOLDER = "BENCHMARKS_FOLDER"


class StaticFilesServer:
    name = "staticfiles"
    about = "Starlette StaticFiles, no router, no checks"

    def missing(self) -> str | None:
        return None

    def command(self, site: Served, port: int) -> Command:
        factory = "benchmarks.serve.contestants.staticfiles:create_app"
        started = uvicorn_command(factory, port, {_FOLDER: str(site.shared)})
        # StaticFiles knows no lifespan and asserts that the scope is a request.
        return Command((*started.arguments, "--lifespan", "off"), started.environment)

    def path(self, size_bytes: int) -> str:
        return folder_path(size_bytes)


def create_app() -> ASGIApp:
    return StaticFiles(directory=os.environ[_FOLDER])
