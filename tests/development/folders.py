"""Folders of a plugin that somebody develops."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

METADATA = {
    "slug": "Mine",
    "version": "1.2.0",
    "scope": "mine",
    "modules": [{"name": "Panel", "display_name": "A panel"}],
}
ENTRY = "dist/remoteEntry.js"


def write(folder: Path, files: Mapping[str, str | Mapping[str, Any]]) -> Path:
    """Writes the files in their order; an object as JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def built(text: str) -> dict[str, str]:
    """What a bundler writes, in its order: the entry last."""
    return {"dist/1.js": f"/* chunk {text} */", ENTRY: f"window.mine = '{text}';"}


def rebuild(folder: Path, text: str) -> None:
    """Removes the entry first: however slow this is, there is no whole build in between."""
    (folder / ENTRY).unlink(missing_ok=True)
    write(folder, built(text))


def plugin_folder(folder: Path, text: str | None = None) -> Path:
    """With a build, unless `text` is None."""
    files: dict[str, str | Mapping[str, Any]] = {"plugin.json": METADATA, "src/Panel.jsx": "…"}
    return write(folder, files if text is None else {**files, **built(text)})
