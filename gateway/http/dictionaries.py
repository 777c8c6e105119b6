"""Compression dictionaries: what a request says of them, and which URLs a dictionary is for. Pure.

A browser that holds an old file of a plugin names it by its SHA-256 in `Available-Dictionary`, and
can then read a new file as the difference from the old one (RFC 9842). The content coding of such a
difference is `dcz`. Which old file belongs to which new one is decided by the stems of their paths.
"""

import base64
import re
from collections.abc import Callable
from functools import lru_cache

from gateway.http.encodings import parse_accept_encoding
from gateway.names import AssetPath, Slug

DCZ = "dcz"
"""The content coding (§5): a header with the dictionary's digest, then one zstd frame."""
AVAILABLE_DICTIONARY = b"available-dictionary"
VARY = b"Accept-Encoding, Available-Dictionary, Sec-Fetch-Site"
"""What the choice of a variant depends on, for a file that has differences."""

# A byte sequence (RFC 9651 §3.3.5) of 32 bytes. The last letter carries four bits: one digest has
# one spelling, which is also the name of a file.
_AVAILABLE = re.compile(rb":([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=):")

# What bundlers put into the name of a file to tell its content: webpack, Rspack, Parcel and Rollup
# 3 write hexadecimal digits; Vite, Rollup 4 and esbuild write eight letters of base64 or base32
# after a hyphen. Words such as `-elements.js` have eight letters too, but no digit and no capital.
HASHES = (
    r"(?<![0-9A-Za-z])(?=[a-f]*[0-9])[0-9a-f]{8,}(?![0-9A-Za-z])",
    r"(?<=-)(?=[a-z-]*[A-Z0-9_])[0-9A-Za-z_-]{8}(?=\.[0-9A-Za-z]+(?:\.map)?$)",
)
"""Regular expressions for a hash in the name of a file. PCRE reads them in the same way."""
_HASH = re.compile("|".join(HASHES))

# A browser writes these characters in a URL as they are (URL standard, path percent-encode set).
_PLAIN = re.compile(r"[0-9A-Za-z!$&'()*+,./:;=@_~-]+")
# Those of them that a URL pattern reads. The others that it reads are not plain.
_READ = re.compile(r"[()*+:]")
_REMEMBERED = 64


def parse_available_dictionary(field: bytes) -> bytes | None:
    """The SHA-256 in an `Available-Dictionary` field (RFC 9842 §2.2).

    None: the field is anything but one digest, for instance two fields that were joined.
    """
    match = _AVAILABLE.fullmatch(field)
    return base64.b64decode(match[1]) if match else None


@lru_cache(_REMEMBERED)
def accepts_dcz(accept_encoding: bytes) -> bool:
    """Whether the field names `dcz` with a weight above 0.

    `*` does not name it: only a client that has the dictionary can read it (RFC 9842 §6.1).
    """
    return parse_accept_encoding(accept_encoding.decode("latin-1")).get(DCZ, 0.0) > 0


def stem(path: AssetPath) -> str:
    """The path with `*` for each hash in the name of the file; files with one stem are versions of
    one file. The path itself, if there is no hash in it.
    """
    return _starred(path, lambda text: text)


def match_pattern(slug: Slug, path: AssetPath) -> str | None:
    """The URLs for which a file is a dictionary, relative to the file's own pinned URL.

    They are those of the same stem in the same plugin, pinned and unpinned. The pattern is one of
    the URL Pattern standard, without regular expressions (RFC 9842 §2.1.1).

    None: a browser would write the path in another way in a URL, so no pattern is safe.
    """
    if _PLAIN.fullmatch(path) is None:
        return None
    to_plugin = "../" * (path.count("/") + 1)  # the folders of the path, and the pin
    # A browser resolves `slug/..` to nothing. But Chromium keeps one dictionary of a host for each
    # text of a pattern, whatever the text is relative to, and plugins have files of the same name.
    return f"{to_plugin}{slug}/../{{@*/}}?{_starred(path, lambda text: _READ.sub(_escaped, text))}"


def use_as_dictionary(slug: Slug, path: AssetPath) -> bytes | None:
    """The value of `Use-As-Dictionary` (§2.1) for the pinned URL of a file; None: it is none."""
    pattern = match_pattern(slug, path)
    if pattern is None:
        return None
    quoted = pattern.replace("\\", "\\\\")  # a string of RFC 9651 §3.3.3; no `"` is plain
    return f'match="{quoted}"'.encode()


def _escaped(match: re.Match[str]) -> str:
    return f"\\{match[0]}"


def _starred(path: AssetPath, written: Callable[[str], str]) -> str:
    folder, slash, name = path.rpartition("/")
    return written(folder + slash) + "*".join(map(written, _HASH.split(name)))
