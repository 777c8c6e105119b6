"""The console's page: the files in `static/console`, put together into one HTML text.

The page has one inline style and one inline script, and its Content-Security-Policy names both by
their hashes. So it needs no build step, no other URL, and nothing else can run in it.
"""

import re
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

_FOLDER = Path(__file__).parent / "static" / "console"
_STYLE_LINK = '<link rel="stylesheet" href="style.css">'
_SCRIPT_LINK = '<script type="module" src="main.js"></script>'
_IMPORT = re.compile(r'^import (?:(\{[^}]*\}) from )?"\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ConsolePage:
    """The page, and the policy under which its own script and style run, and no others."""

    html: str
    policy: str


def console_page() -> ConsolePage:
    """Reads the files. Raises: OSError."""
    style, script = _read("style.css"), _script("main")
    html = _read("index.html")
    html = html.replace(_STYLE_LINK, f"<style>{style}</style>")
    html = html.replace(_SCRIPT_LINK, f'<script type="module">{script}</script>')
    policy = (
        "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none';"
        f" script-src '{_hash(script)}'; style-src '{_hash(style)}'"
    )
    return ConsolePage(html, policy)


def _script(main: str) -> str:
    """One script that does what the module `main` does with all that it imports.

    Each module becomes a function that is called once and returns its exports, so names of one
    module mean nothing in another. Only the forms of import and export that the files use are
    known: `import { a, b } from "./x.js";`, `import "./x.js";`, and `export` before a declaration.
    """
    scripts: dict[str, str] = {}

    def add(name: str) -> None:
        if name not in scripts:
            source = _read(f"{name}.js")
            for match in _IMPORT.finditer(source):
                add(match[2])
            scripts[name] = _as_function(name, source)

    add(main)
    return "const modules = {};\n" + "".join(scripts.values())


def _as_function(name: str, source: str) -> str:
    exported = ", ".join(_EXPORT.findall(source))
    body = _IMPORT.sub(_as_constant, _EXPORT.sub("", source))
    return f"modules.{name} = (() => {{\n{body}return {{ {exported} }};\n}})();\n"


def _as_constant(match: re.Match[str]) -> str:
    return f"const {match[1]} = modules.{match[2]};\n" if match[1] else ""


def _read(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")


def _hash(source: str) -> str:
    return f"sha256-{b64encode(sha256(source.encode()).digest()).decode()}"
