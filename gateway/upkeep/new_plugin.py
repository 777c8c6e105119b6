"""Makes the folder of a new plugin from a template: a project that npm alone builds.

Templates are whole plugins, called MyPlugin. A new plugin is the common files and those of its
bundler, with its own name in place of that one. Blocking.
"""

import re
import shutil
import tempfile
from pathlib import Path

from gateway.names import Slug, parse_slug

BUNDLERS = ("webpack", "vite")
_TEMPLATES = Path(__file__).parent / "plugin_templates"
_NAME, _PACKAGE = b"MyPlugin", b"my-plugin"
_COMPONENT = re.compile(r"[A-Z][A-Za-z0-9]*")
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# What a page's scripts and the template need under these names.
_TAKEN = {
    "Array", "Boolean", "Date", "Details", "Document", "Element", "Error", "Event", "File",
    "Function", "History", "Image", "Infinity", "JSON", "Location", "Map", "Math", "Node",
    "Notification", "Number", "Object", "Option", "Promise", "Proxy", "Range", "React", "ReactDOM",
    "Reflect", "Request", "Response", "Selection", "Set", "Storage", "String", "Suspense", "Symbol",
    "Text", "URL", "Window", "Worker",
}  # fmt: skip


def parse_plugin_name(text: object) -> Slug:
    """A name that can be the slug, the container on `window`, and a React component.

    Raises: ValueError.
    """
    if not isinstance(text, str) or not _COMPONENT.fullmatch(text):
        raise ValueError(
            f"not a name for a plugin: {text!r} (a capital letter, then letters and digits, such as"
            " NetworkReview)"
        )
    if text in _TAKEN:
        raise ValueError(f"not a name for a plugin: {text!r} (it means something else in a page)")
    return parse_slug(text)


def make_plugin(parent: Path, name: Slug, bundler: str) -> Path:
    """Makes the folder `name` in `parent`, whole or not at all. Returns its path.

    Raises: OSError; FileExistsError, if something is there already.
    """
    folder = parent / name
    if folder.exists() or folder.is_symlink():
        raise FileExistsError(f"{folder}: exists already; expected a new name, or another --dir")
    try:
        staging = Path(tempfile.mkdtemp(dir=parent, prefix=f".{name}."))
    except OSError as error:
        raise OSError(f"{parent}: cannot be written to: {error.strerror}") from None
    try:
        made = staging / name
        for template in ("common", bundler):
            _copy(_TEMPLATES / template, made, name)
        made.rename(folder)
    finally:
        shutil.rmtree(staging)
    return folder


def _copy(template: Path, target: Path, name: Slug) -> None:
    package = _CAPITAL.sub("-", name).lower().encode()
    for source in filter(Path.is_file, template.rglob("*")):
        path = source.relative_to(template).as_posix().replace(_NAME.decode(), name)
        # Here a .gitignore would count for git itself.
        file = target / (".gitignore" if path == "gitignore" else path)
        file.parent.mkdir(parents=True, exist_ok=True)
        content = source.read_bytes()
        file.write_bytes(content.replace(_NAME, name.encode()).replace(_PACKAGE, package))
