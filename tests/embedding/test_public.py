"""What `gateway` exports, and what it costs to import it."""

import pkgutil
import subprocess
import sys

import pytest

import gateway
from gateway import errors

OWN_LINES = 30
"""pydoc adds a line for each module of the package, below all that we say."""


def words(text: str) -> set[str]:
    return {word.strip(".,;:()`'") for word in text.split()}


def said_by(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return result.stdout


def test_every_public_name_is_there_and_named_by_the_docstring() -> None:
    public = {name for name in dir(gateway) if not name.startswith("_")}
    assert public >= {"create_app", "Gateway", "Settings", "PluginStorage", "Site", "GatewayError"}
    for name in public:
        assert getattr(gateway, name).__doc__, name
    assert public <= words(gateway.__doc__ or "")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gateway.nothing  # noqa: B018


def test_every_error_that_is_exported_is_that_of_the_tree() -> None:
    for name in dir(gateway):
        if name.endswith("Error"):
            assert getattr(gateway, name) is getattr(errors, name)


def test_help_fits_a_screen_and_says_where_to_read_on() -> None:
    text = said_by("import pydoc; print(pydoc.render_doc('gateway', renderer=pydoc.plaintext))")
    modules = list(pkgutil.iter_modules(gateway.__path__))
    assert len(text.splitlines()) - len(modules) <= OWN_LINES
    assert "create_app, Gateway" in text
    assert "docs/how-to/embedding.md" in text


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import gateway", {"cli", "core", "starlette", "pydantic", "databases", "sqlalchemy"}),
        ("from gateway import PluginStorage", {"starlette", "databases", "sqlalchemy", "core"}),
        ("from gateway import load_settings", {"starlette", "databases", "sqlalchemy", "core"}),
        ("from gateway import create_app, Site", {"asyncpg", "aiosqlite", "rich", "uvicorn"}),
    ],
)
def test_an_import_loads_little(code: str, unwanted: set[str]) -> None:
    loaded = said_by(f"{code}; import sys; print(*sys.modules)").split()
    unwanted = {*unwanted, "gateway.cli", "gateway.demo", "gateway.processes", "gateway.upkeep"}
    assert not {
        name for name in loaded if name in unwanted or name.removeprefix("gateway.") in unwanted
    }
