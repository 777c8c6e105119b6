"""Text that compresses as bundled JavaScript does: brotli leaves a fifth to a third of it.

The same seed gives the same bytes, so runs on different days send the same.
"""

import random
from itertools import count

_SEED = 7
_WORDS = [
    "render", "update", "module", "plugin", "config", "user", "state", "value", "index", "result",
    "element", "options", "request", "response", "context", "handler", "provider", "children",
    "theme", "layout", "event", "query", "cache", "store", "version", "listener", "callback",
    "promise", "factory", "column", "border", "label", "margin", "source", "target",
]  # fmt: skip


def javascript(size_bytes: int) -> bytes:
    """Exactly `size_bytes` of ASCII, functions that all differ."""
    choose = random.Random(_SEED)  # noqa: S311 (not a secret)
    text = "/* made by benchmarks/payload.py */\n"
    pieces = [text]
    length = len(text)
    for number in count():
        if length >= size_bytes:
            break
        piece = _function(choose, number)
        pieces.append(piece)
        length += len(piece)
    return "".join(pieces).encode()[:size_bytes]


def _function(choose: random.Random, number: int) -> str:
    first, second, third = choose.sample(_WORDS, 3)
    return (
        f"function {first}{second.title()}{number}({first},{second}){{"
        f"if({first}.{third}!=={choose.randrange(1 << 16)})"
        f"return {second}.{choose.choice(_WORDS)}({first},{choose.randrange(1 << 20):#x});"
        f"const {third}={first}.map(e=>e.{choose.choice(_WORDS)}+{choose.random():.5f});"
        f'return{{...{second},{third},key:"{choose.getrandbits(48):012x}"}}}}\n'
    )
