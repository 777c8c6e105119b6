"""The console's page: the palette and the files in `static/console`, as one HTML text.

The page has one inline style and one inline script, and its Content-Security-Policy names both by
their hashes. So it needs no build step, no other URL, and nothing else can run in it.
"""

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from gateway.endpoints.scripts import joined_script

PALETTE = Path(__file__).parent / "static" / "palette.css"
"""The colours and typefaces of all our pages, also of the demo's."""

_FOLDER = PALETTE.parent / "console"
_STYLE_LINK = '<link rel="stylesheet" href="style.css">'
_SCRIPT_LINK = '<script type="module" src="main.js"></script>'


@dataclass(frozen=True, slots=True)
class ConsolePage:
    """The page, and the policy under which its own script and style run, and no others."""

    html: str
    policy: str


def console_page() -> ConsolePage:
    """Reads the files. Raises: OSError."""
    style = PALETTE.read_text("utf-8") + _read("style.css")
    script, html = joined_script(_FOLDER, "main"), _read("index.html")
    html = html.replace(_STYLE_LINK, f"<style>{style}</style>")
    html = html.replace(_SCRIPT_LINK, f'<script type="module">{script}</script>')
    policy = (
        "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none';"
        f" script-src '{_hash(script)}'; style-src '{_hash(style)}'"
    )
    return ConsolePage(html, policy)


def _read(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")


def _hash(source: str) -> str:
    return f"sha256-{b64encode(sha256(source.encode()).digest()).decode()}"
