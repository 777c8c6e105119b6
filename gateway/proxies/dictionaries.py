"""Compression dictionaries (RFC 9842), as the configuration of a proxy must know them.

The gateway keeps differences in the pinned trees: `FILE.dcz/DICTIONARY`, where `DICTIONARY` is what
a client says in `Available-Dictionary`, without the colons. A proxy sends a kept difference by
itself. If none is kept, it asks the gateway, so that the gateway learns that one is wanted.
"""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.http.dictionaries import DCZ, VARY
from gateway.proxies import Upstream

FOLDER = f".{DCZ}"
"""What follows the name of a file in the name of the folder of its differences."""
DICTIONARY = "[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="
"""A pattern for 32 bytes in base64, of which there is one spelling."""
WEIGHTED = rf"(?:^|[, \t]){DCZ}[ \t]*;"
"""A pattern for an Accept-Encoding that gives the coding a weight. The weight may be 0; then the
proxy sends the file as usual."""
NAMED = rf"(?:^|,)[ \t]*(?<plugin_coding>{DCZ})[ \t]*(?:,|$)"
"""A pattern for an Accept-Encoding that names the coding, with a group for the coding."""
LOCAL_HOST = r"(?:localhost|127\.0\.0\.1|\[?::1\]?)"
"""A pattern, whose case does not count, for hosts that browsers trust without TLS."""
PLAIN = "[0-9A-Za-z._~@!&',;=-]"
"""A pattern for characters that browsers write in a URL as they are, and that a URL pattern does
not read. A proxy leaves a file whose path has another character to the gateway."""
MAX_FOLDERS = 8
"""A proxy leaves a file below more folders to the gateway."""


class FileTypes(NamedTuple):
    """Types of files that are sent with the same fields."""

    suffixes: Sequence[str]
    vary: str
    """Empty: there is one variant."""
    policy: str
    """Content-Security-Policy; empty: none."""
    dictionaries: bool
    """Whether a file is a dictionary for later versions, and has differences from earlier ones."""


def file_types(upstream: Upstream) -> list[FileTypes]:
    """All types of files that the proxy may send by itself."""
    groups: dict[tuple[bool, str], list[str]] = {}
    for suffix in upstream.suffixes:
        kind = upstream.media_types[suffix]
        groups.setdefault((kind.compressible, kind.policy), []).append(suffix)
    vary = VARY.decode() if upstream.dictionaries else "Accept-Encoding"
    return [
        FileTypes(suffixes, vary if varies else "", policy, varies and upstream.dictionaries)
        for (varies, policy), suffixes in groups.items()
    ]
