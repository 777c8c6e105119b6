"""What is measured: a cell is a size and a case. Pure."""

from dataclasses import dataclass

KIB = 1024
SIZES_BYTES = (KIB, 16 * KIB, 128 * KIB, 1024 * KIB)


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of request, and the answer that counts as one."""

    name: str
    accept_encoding: str
    status: int
    coding: str | None
    """Content-Encoding of the answer; None: any that was asked for."""


# What Chromium sends, less zstd: few of the others have it, and the gateway would choose it.
_BROWSER_CODINGS = "gzip, deflate, br"

CASES = (
    Case("identity", "identity", 200, "identity"),
    Case("br", _BROWSER_CODINGS, 200, "br"),
    Case("304", _BROWSER_CODINGS, 304, None),
)


# No file: the caller's ten plugins, as its front end asks at the start of a page.
MANIFEST = Case("manifest", _BROWSER_CODINGS, 200, None)
MANIFEST_PLUGINS = 10


@dataclass(frozen=True, slots=True)
class Cell:
    size_bytes: int
    """0 for the manifest."""
    case: Case

    def __str__(self) -> str:
        if self.case == MANIFEST:
            return f"manifest of {MANIFEST_PLUGINS} plugins"
        return f"{size_text(self.size_bytes)} {self.case.name}"


def size_text(size_bytes: int) -> str:
    kibibytes, rest = divmod(size_bytes, KIB)
    if rest:
        return f"{size_bytes} B"
    return f"{kibibytes} KiB" if kibibytes < KIB or kibibytes % KIB else f"{kibibytes // KIB} MiB"
