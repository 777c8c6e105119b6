"""Which scripts a page loads with a plugin's entry, so that it can ask for all at once. Blocking.

The bundler says it in `mf-manifest.json` beside the entry. Where it wrote none, the text of the
entry says it (bundles/chunks.py). What is not certain is left out: a script that no page runs would
take the line from those that it waits for.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from gateway.bundles.chunks import chunks_of_modules
from gateway.bundles.container import imported_entry, is_module
from gateway.bundles.mf_manifest import MF_MANIFEST, scripts_of_modules
from gateway.disk.builds import FolderState
from gateway.disk.files import read_regular
from gateway.errors import RequestError
from gateway.names import parse_asset_path

MOST_PRELOADED = 20
"""With the entry. A page that needs more has other troubles than round trips."""
# The largest entry of the plugins we know has 0.4 MB, and a manifest of 1,000 modules half of that.
_MAX_BYTES = 1 << 20


def scripts_beside(folder: Path, state: FolderState, entry: str) -> tuple[str, ...]:
    """Paths of scripts in the folder, without the entry.

    They are classic scripts: of a container made of ES modules nothing is known.
    Raises: OSError.
    """
    text = _read(folder, state, entry)
    if text is None:
        return ()
    source = text.decode("utf-8", "replace")
    if is_module(source) or imported_entry(source) is not None:
        return ()
    prefix = entry[: entry.rfind("/") + 1]
    names: Sequence[str] | None
    if prefix + MF_MANIFEST in state.digests:
        manifest = _read(folder, state, prefix + MF_MANIFEST)
        names = None if manifest is None else scripts_of_modules(manifest)
    else:
        names = chunks_of_modules(source)
    paths = dict.fromkeys(prefix + name for name in names or ())
    usable = [path for path in paths if path != entry and _is_script(path, state)]
    return tuple(usable[: MOST_PRELOADED - 1])


def _is_script(path: str, state: FolderState) -> bool:
    """Whether the folder has it; what a bundler writes may name anything."""
    try:
        return path.endswith(".js") and parse_asset_path(path) in state.digests
    except RequestError:
        return False


def _read(folder: Path, state: FolderState, path: str) -> bytes | None:
    """The file, if it has the content that the state has; None also if it is too large."""
    if path not in state.digests or state.sizes[path] > _MAX_BYTES:
        return None
    try:
        content = read_regular(folder / path, _MAX_BYTES)
    except (PermissionError, ValueError):
        return None
    if content is None or hashlib.sha256(content).digest() != state.digests[path]:
        return None
    return content
