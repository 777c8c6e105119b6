"""The plugin-asset gateway: front-end plugin files for many users, each at their own version.

from gateway import create_app, load_settings
app = create_app(load_settings())      # an ASGI application, to serve or to mount
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.application import Gateway, create_app
    from gateway.errors import ConfigurationError
    from gateway.settings import Settings, load_settings

__all__ = [
    "ConfigurationError",
    "Gateway",
    "Settings",
    "__version__",
    "create_app",
    "load_settings",
]
__version__ = "0.1.0"

# Imported when they are asked for: the application takes half a second, and many commands do
# without it.
_HOMES = {
    "ConfigurationError": "gateway.errors",
    "Gateway": "gateway.application",
    "Settings": "gateway.settings",
    "create_app": "gateway.application",
    "load_settings": "gateway.settings",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
