"""Plugins that real bundlers build. npm installs their packages once for all tests."""

from collections.abc import Mapping

import pytest

from tests.conftest import folder_of_all_workers, require, require_program
from tests.support.npm import Plugin, installed_plugins


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Plugin]:
    """A new plugin for each bundler, not built. Tests that edit one take a copy."""
    require_program("npm")
    folder = folder_of_all_workers(tmp_path_factory) / "plugins"
    names = {"webpack": "MadeByWebpack", "vite": "MadeByVite"}
    return require(installed_plugins(folder, names), "npm's registry")
