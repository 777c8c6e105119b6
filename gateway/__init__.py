"""Front-end plugin files for many users, each at their own version. An ASGI application to mount.

    from gateway import create_app, load_settings
    app = create_app(load_settings())

What is public is here, and in gateway.errors. All else may change without notice.

    create_app, Gateway, UserFunction          the application, and who its users are
    merge_openapi                              its URLs in the application's OpenAPI document
    Settings, load_settings                    config.toml and the environment
    Site, open_site, Outcome, Published        publish, install, update, sign, announce
    PluginStorage                              what is in the users' files
    GatewayError, ConfigurationError, StorageError, PublishingError, RequestError

docs/how-to/embedding.md shows how to use it. help(gateway.Site), for example, says more of
one name.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.application import Gateway as Gateway
    from gateway.application import create_app as create_app
    from gateway.disk.storage import PluginStorage as PluginStorage
    from gateway.endpoints.openapi.merging import merge_openapi as merge_openapi
    from gateway.errors import ConfigurationError as ConfigurationError
    from gateway.errors import GatewayError as GatewayError
    from gateway.errors import PublishingError as PublishingError
    from gateway.errors import RequestError as RequestError
    from gateway.errors import StorageError as StorageError
    from gateway.identity.application import UserFunction as UserFunction
    from gateway.lifecycle.installing import Outcome as Outcome
    from gateway.lifecycle.publishing import Published as Published
    from gateway.settings import Settings as Settings
    from gateway.settings import load_settings as load_settings
    from gateway.site import Site as Site
    from gateway.site import open_site as open_site

__version__ = "0.1.0"

# Imported when they are asked for: the application takes half a second, and many commands do
# without it.
_HOMES = {
    "ConfigurationError": "gateway.errors",
    "Gateway": "gateway.application",
    "GatewayError": "gateway.errors",
    "Outcome": "gateway.lifecycle.installing",
    "PluginStorage": "gateway.disk.storage",
    "Published": "gateway.lifecycle.publishing",
    "PublishingError": "gateway.errors",
    "RequestError": "gateway.errors",
    "Settings": "gateway.settings",
    "Site": "gateway.site",
    "StorageError": "gateway.errors",
    "UserFunction": "gateway.identity.application",
    "create_app": "gateway.application",
    "load_settings": "gateway.settings",
    "merge_openapi": "gateway.endpoints.openapi.merging",
    "open_site": "gateway.site",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


# There is no __all__: pydoc would print each class in it in full, more than 1000 lines.
def __dir__() -> list[str]:
    return sorted({*_HOMES, "__version__"})
