"""Scripts for browsers: modules of one folder, put together into one text.

So a page needs no build step and no second URL.
"""

import re
from pathlib import Path

_IMPORT = re.compile(r'^import (?:(\{[^}]*\}) from )?"\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)


def joined_script(folder: Path, main: str) -> str:
    """One script that does what the module `main` does with all that it imports.

    Each module becomes a function that is called once and returns its exports, so names of one
    module mean nothing in another. Only the forms of import and export that the files use are
    known: `import { a, b } from "./x.js";`, `import "./x.js";`, and `export` before a declaration.

    Raises: OSError.
    """
    scripts: dict[str, str] = {}

    def add(name: str) -> None:
        if name not in scripts:
            source = (folder / f"{name}.js").read_text("utf-8")
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
