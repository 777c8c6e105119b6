"""What README and docs/ show in JSON and TOML is what the gateway answers, prints and reads.

The line above a JSON block says what it is: "`GET /-/users` answers 200:", or with ", in part";
or "`gateway audit --json` prints …:". A block with `$schema` is a plugin.json.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from jsonschema import Draft202012Validator

from gateway import Gateway
from gateway.disk.metadata import SCHEMA_FILE
from gateway.settings import load_settings
from tests.documentation.blocks import Block
from tests.documentation.followers import EXAMPLES, blocks_for
from tests.support.asgi import Client, status
from tests.support.commands import run
from tests.support.openapi import Document, gateway_with_everything, problems, without_required
from tests.support.site import ADA, USERS_CHANGE, Site, populated

_ANSWER = re.compile(r"`(\w+) (/\S*)` answers (\d+)(, in part)?:$")
_PRINTED = re.compile(r"`gateway (.+)` prints .*:$")
UPDATE = "/api/v1/plugins/Review/update"
JSON = blocks_for(EXAMPLES, "json")
ANSWERS = [block for block in JSON if _ANSWER.search(block.above)]
PRINTED = [block for block in JSON if _PRINTED.search(block.above)]
PLUGINS = [block for block in JSON if '"$schema"' in block.text]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    return gateway_with_everything(tmp_path_factory.mktemp("site")).openapi()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """On which a user has made a change over HTTP."""
    site = populated(tmp_path / "site")
    gateway = Gateway(load_settings(environ={**site.environment, **USERS_CHANGE}))

    async def change() -> None:
        async with gateway.running():
            answer = await Client(gateway).request(UPDATE, ADA, method="PUT")
            assert status(answer) == 200

    anyio.run(change)
    return site


@pytest.mark.parametrize("block", ANSWERS, ids=str)
def test_an_answer_is_one_that_the_document_of_the_api_describes(
    document: Document, block: Block
) -> None:
    """tests/endpoints/openapi holds what a server answers against the same document."""
    match = _ANSWER.search(block.above)
    assert match
    method, path, status, in_part = match.groups()
    described = without_required(document) if in_part else document
    content = json.loads(block.text)
    assert not problems(described, path, method.lower(), int(status), content)


@pytest.mark.parametrize("block", PRINTED, ids=str)
def test_a_command_prints_what_the_page_shows(site: Site, block: Block) -> None:
    match = _PRINTED.search(block.above)
    assert match
    printed = run(site.environment, *match[1].split()).stdout
    assert list(differences(json.loads(block.text), json.loads(printed))) == []


@pytest.mark.parametrize("block", PLUGINS, ids=str)
def test_a_plugin_json_fits_its_schema(block: Block) -> None:
    schema = Draft202012Validator(json.loads(SCHEMA_FILE.read_text()))
    assert [error.message for error in schema.iter_errors(json.loads(block.text))] == []


def test_every_json_block_says_what_it_is() -> None:
    assert {*ANSWERS, *PRINTED, *PLUGINS} == {*JSON}


@pytest.mark.parametrize("block", blocks_for(EXAMPLES, "toml"), ids=str)
def test_a_configuration_has_settings_that_exist(block: Block, tmp_path: Path) -> None:
    config_file = tmp_path / "config.toml"
    config_file.write_text(block.text)
    assert load_settings(config_file, environ={}) != load_settings(environ={})


def differences(shown: Any, real: Any, where: str = "") -> Iterator[str]:
    """Where keys or types differ. Null stands for any type, and the first item for its list."""
    if isinstance(shown, dict) and isinstance(real, dict):
        yield from (f"{where}.{key}" for key in shown.keys() ^ real.keys())
        for key in shown.keys() & real.keys():
            yield from differences(shown[key], real[key], f"{where}.{key}")
    elif isinstance(shown, list) and isinstance(real, list):
        if shown and real:
            yield from differences(shown[0], real[0], f"{where}[]")
    elif None not in (shown, real) and type(shown) is not type(real):
        yield f"{where}: {shown!r}, {real!r}"
