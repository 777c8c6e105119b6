"""An empty storage."""

from pathlib import Path

import pytest

from gateway.disk.storage import PluginStorage
from tests.disk.storage.files import publish


@pytest.fixture
def storage(tmp_path: Path) -> PluginStorage:
    return PluginStorage(tmp_path / "plugins")


@pytest.fixture(params=["descriptors", "resolved paths"])
def published(
    request: pytest.FixtureRequest, storage: PluginStorage, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The folder of a version, to be opened in the way of POSIX and in that of Windows."""
    if request.param == "resolved paths":
        monkeypatch.setattr("gateway.disk.reading._HAS_DIR_FD", False)
    return publish(storage)
