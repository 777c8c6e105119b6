"""Random secrets for a site that has none, written into its configuration and nowhere else."""

import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from gateway.disk.files import write_atomically
from gateway.errors import ConfigurationError
from gateway.settings import Settings, load_settings

_RANDOM_BYTES = 32
_OTHERS = 0o077
# The lines of config.toml that wait for a value, and what is said of it then.
_LINES = {
    "identity.jwt.secret": (
        re.compile(r'(?m)^#secret = "" +# key of the HS algorithms.*\n +#.*$'),
        "the application signs tokens with it",
    ),
    "identity.signed.secret": (
        re.compile(r'(?m)^#secret = "" +# key of signed URLs.*$'),
        "key of signed URLs",
    ),
}


def add_secrets(config_file: Path) -> Sequence[str]:
    """Gives the site a key of tokens and one of signed URLs. A key that exists stays.

    Returns a line about each: whether it was made or kept. None of them shows a secret.
    Raises: ConfigurationError, if a key is missing and cannot be written there.
    """
    missing = _missing(load_settings(config_file))
    if missing:
        _require_private(config_file)
        text = config_file.read_text(encoding="utf-8")
        for name in missing:
            text = _with_secret(text, name, config_file)
        write_atomically(config_file, text.encode(), config_file.stat().st_mode & 0o777)
    return [f"{'made' if name in missing else 'kept'}   {name}" for name in _LINES]


def _missing(settings: Settings) -> set[str]:
    jwt, signed = settings.identity.jwt, settings.identity.signed
    has_key = {
        "identity.jwt.secret": jwt.secret or jwt.key_file or jwt.jwks_url,
        "identity.signed.secret": signed.secret,
    }
    return {name for name, key in has_key.items() if not key}


def _with_secret(text: str, name: str, config_file: Path) -> str:
    waiting, meaning = _LINES[name]
    line = f'secret = "{secrets.token_urlsafe(_RANDOM_BYTES)}"  # random; {meaning}'
    text, count = waiting.subn(line, text, count=1)
    if not count:
        raise ConfigurationError(
            f"{name}: {config_file} has not the line of a new configuration that waits for it:"
            " expected a value there, such as that of openssl rand -base64 32"
        )
    return text


def _require_private(config_file: Path) -> None:
    """Raises: ConfigurationError, if somebody else could read the secret, or must be able to."""
    facts = config_file.stat()
    if facts.st_uid != os.geteuid():
        raise ConfigurationError(f"{config_file}: expected a file of the user who runs this")
    if facts.st_mode & _OTHERS:
        raise ConfigurationError(
            f"{config_file}: expected a file that only its owner can read, because a secret would"
            " be written into it (chmod 600)"
        )
