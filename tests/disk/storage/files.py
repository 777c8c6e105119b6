"""Users, names and files that the tests of storage share."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.disk.storage import PluginStorage
from gateway.names import AssetPath, Slug, UserId, Version

ADA = UserId("a" * 32)
REVIEW = Slug("Review")
EYES = Slug("Eyes")
V1 = Version("1.0.0")
SCRIPT = AssetPath("dist/remoteEntry.js")
MINIMAL = {"Review": {"installation_metadata": {"installation_type": "production"}}}
OLD = {
    "Review": {
        "version": "1.0.28",
        "shared_path": "/etc",
        "installed_at": "2025-06-16T10:11:12.131415",
        "enabled": True,
        "user_config": {"theme": "dark"},
        "installation_metadata": {"installation_type": "migrated"},
    }
}
# BrainDrive-Core, and what else happens to files: 0 bytes, half written, not an object.
BROKEN = [
    pytest.param(b"", id="0 bytes"),
    pytest.param(b" \n", id="only space"),
    pytest.param(b'{"Review": {"installation_me', id="half written"),
    pytest.param(b'{"Review": {}} x', id="text behind"),
    pytest.param(b"{'Review': {}}", id="not JSON"),
    pytest.param(b'["Review"]', id="list"),
    pytest.param(b'"Review"', id="string"),
    pytest.param(b"null", id="null"),
    pytest.param(b"1", id="number"),
    pytest.param(b"\xff\xfe{\x00}\x00", id="UTF-16"),
    pytest.param(b'{"\xff": {}}', id="not UTF-8"),
    pytest.param(b"\x00" * 4096, id="NULs, as after a power cut"),
    pytest.param(b'{"Review":' + b"[" * 10_000, id="deeply nested"),
    pytest.param(b" " * (8 * 2**20) + b"{}", id="larger than any of ours"),
]


def write(storage: PluginStorage, content: object, user: UserId = ADA) -> Path:
    """The user's file with `content` as JSON; bytes are written as they are."""
    path = storage.users.file(user)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def written(storage: PluginStorage, user: UserId = ADA) -> Any:
    return json.loads(storage.users.file(user).read_bytes())


def publish(storage: PluginStorage, version: Version = V1) -> Path:
    folder = storage.construct_shared_path(REVIEW, version)
    (folder / "dist").mkdir(parents=True)
    (folder / "dist" / "remoteEntry.js").write_text(f"/* {version} */")
    return folder


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def open_files() -> int | None:
    """How many descriptors this process holds; None where the system does not tell."""
    folder = Path("/proc/self/fd")
    return len(names_in(folder)) if folder.is_dir() else None
