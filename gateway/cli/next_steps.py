"""What an operator does after `init`: commands that work as they are printed."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from gateway.demo.demo_site import demo_plugins
from gateway.disk.storage import PluginStorage
from gateway.errors import ConfigurationError
from gateway.identity.keys import signing_key, verifying_keys
from gateway.proxies import address_of
from gateway.settings import CONFIG_VARIABLE, Settings
from gateway.upkeep.new_site import CONFIG_NAME, is_of_application

_USER = "ada"
_SLUG = "NetworkReview"


async def next_steps(settings: Settings, config_file: Path) -> list[str]:
    """Lines to print. The commands serve the site; the last one is answered with 200.

    An empty site of its own also gets an example plugin. The site of an application does not.
    """
    lines = [*_missing_key(settings), "Next:", ""]
    is_empty = not any(True for _ in PluginStorage(settings.plugins_dir).shared.versions())
    with_example = is_empty and not await is_of_application(settings)
    lines += (f"    {step}" for step in _commands(settings, config_file, with_example=with_example))
    return lines


def _missing_key(settings: Settings) -> Iterator[str]:
    try:
        if "jwt" in settings.identity.chain:
            verifying_keys(settings)
    except ConfigurationError as error:
        yield f"To be set first: {error}"
        yield ""


def _commands(settings: Settings, config_file: Path, *, with_example: bool) -> Iterator[str]:
    gateway = "gateway"
    if config_file.name != CONFIG_NAME or CONFIG_VARIABLE in os.environ:
        gateway = f"gateway --config {shlex.quote(str(config_file.absolute()))}"
    elif config_file.absolute().parent != Path.cwd():
        yield f"cd {shlex.quote(str(config_file.parent))}"
    if with_example:
        example = demo_plugins() / "shared" / _SLUG / "v1.0.0"
        yield "# an example plugin; your own is a folder, .zip or .tar.gz"
        yield f"{gateway} publish {shlex.quote(str(example))}"
        yield f"{gateway} install {_SLUG} --user {_USER}"
    else:
        yield f"{gateway} check"
    yield f"{gateway} serve"
    request = "/-/ready"
    if with_example and _makes_tokens(settings):
        token = f'-H "Authorization: Bearer $({gateway} token --user {_USER})" '
        request = f"{settings.http.api_prefix}/plugins/{_SLUG}/dist/remoteEntry.js"
    else:
        token = ""
    yield "# in a second terminal, in the same folder"
    yield f"curl {token}{_url(settings, request)}"


def _makes_tokens(settings: Settings) -> bool:
    """Whether `gateway token` works, at the latest when what is missing has been set."""
    jwt = settings.identity.jwt
    if "jwt" not in settings.identity.chain:
        return False
    if any(name.startswith("HS") for name in jwt.algorithms):
        return True
    try:
        signing_key(settings)
    except ConfigurationError:
        return False
    return True


def _url(settings: Settings, path: str) -> str:
    """As curl takes it."""
    address = address_of(settings)
    if address.startswith("/"):
        return f"--unix-socket {shlex.quote(address)} http://localhost{path}"
    return f"http://{address}{path}"
