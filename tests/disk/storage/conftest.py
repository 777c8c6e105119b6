"""An empty storage."""

from pathlib import Path

import pytest

from gateway.disk.storage import PluginStorage
from tests.disk.storage.files import publish


@pytest.fixture
def storage(tmp_path: Path) -> PluginStorage:
    return PluginStorage(tmp_path / "plugins")


@pytest.fixture
def published(storage: PluginStorage) -> Path:
    """The folder of a version."""
    return publish(storage)
