"""How a bundle was built: where it looks for its chunks, and whether it is a development build."""

import re

# The variable that has `p` (the public path) has `u` too, which makes the file name of a chunk, or
# `e`, which loads one.
_PUBLIC_PATH = re.compile(r"""(?<![\w$.])([A-Za-z_$][\w$]*)\.p\s*=\s*["']([^"'\n]{0,2000})["']""")
_LOADER = re.compile(r"(?<![\w$.])([A-Za-z_$][\w$]*)\.[ue]\s*=(?!=)")
_VITE_PRELOAD = re.compile(
    r"""["']modulepreload["'].{0,80}?=\s*function\s*\(\w+\)\s*\{\s*return\s*["'](/[^"'\n]*)["']""",
    re.DOTALL,
)
_AUTOMATIC = "Automatic publicPath is not supported"
# The end of each module's text in eval().
_EVALUATED = re.compile(r'//# sourceURL=webpack[^"\n]{0,2000}"\)')
_DEVELOPMENT_MARKS = (
    "// The module cache",  # webpack and rspack, not minified
    "webpackHotUpdate",
    "webpack-dev-server/client",
    "/@vite/client",
)
_LOCAL_URL = re.compile(
    r"\b(?:https?|wss?)://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\]):\d{1,5}(?!\d)"
)


def fixed_public_path(text: str) -> str | None:
    """Where webpack's runtime in an entry looks for chunks; None: beside the entry, or unknown."""
    if _AUTOMATIC in text:
        return None
    loaders = set(_LOADER.findall(text))
    for match in _PUBLIC_PATH.finditer(text):
        variable, path = match[1], match[2]
        is_path = path == "" or path.startswith(("/", "http://", "https://")) or path[-1] == "/"
        if is_path and variable in loaders:
            return path
    return None


def fixed_base(text: str) -> str | None:
    """Where Vite's preloading looks for chunks and styles; None: beside the file, or unknown."""
    match = _VITE_PRELOAD.search(text)
    return match[1] if match else None


def is_development_build(text: str) -> bool:
    return any(mark in text for mark in _DEVELOPMENT_MARKS)


def evaluates_its_modules(text: str) -> bool:
    """Whether webpack's `devtool` is one of its eval forms."""
    return _EVALUATED.search(text) is not None


def local_urls(text: str) -> list[str]:
    """URLs of servers on the developer's own machine, each once.

    Only those with a port: libraries use `http://localhost` as a base for relative URLs.
    """
    return list(dict.fromkeys(_LOCAL_URL.findall(text)))
