"""Plugins made of real builds (tests/bundles/builds), and what lint finds in them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.disk.shared_folder import SharedFolder
from gateway.lint.findings import Finding
from gateway.lint.linting import lint
from gateway.names import Slug
from gateway.settings import DEFAULT_SUFFIXES
from tests.bundles.support import build

ENTRY = "dist/remoteEntry.js"
METADATA = {
    "slug": "MyCard",
    "version": "1.0.0",
    "modules": [{"name": "Card"}, {"name": "List"}],
}
"""Right for nearly all builds."""

Files = Mapping[str, str | bytes | None]


def make_plugin(
    folder: Path, entry: str = "webpack", *, files: Files | None = None, **metadata: Any
) -> Path:
    """A plugin with the entry of a build, and without a flaw.

    `metadata` changes plugin.json, where None takes a key away. `files` adds files, or takes them
    away.
    """
    stated = {key: value for key, value in (METADATA | metadata).items() if value is not None}
    contents: dict[str, str | bytes | None] = {
        "plugin.json": json.dumps(stated),
        ENTRY: build(entry),
        **(files or {}),
    }
    for name, content in contents.items():
        if content is not None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def findings(folder: Path, *, slug: str | None = None, shared: Path | None = None) -> list[Finding]:
    report = lint(
        folder,
        slug=None if slug is None else Slug(slug),
        allowed_suffixes=DEFAULT_SUFFIXES,
        shared=None if shared is None else SharedFolder(shared),
    )
    return list(report.findings)


def sentences(found: list[Finding]) -> list[str]:
    """Code and sentence of each, as the command prints them."""
    return [f"{it.code}: {it.sentence}" for it in found]
