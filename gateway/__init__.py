"""The plugin-asset gateway: front-end plugin files for many users, each at their own version.

from gateway import create_app, load_settings
app = create_app(load_settings())      # an ASGI application, to serve or to mount
"""

from gateway.application import Gateway, create_app
from gateway.settings import Settings, load_settings

__all__ = ["Gateway", "Settings", "__version__", "create_app", "load_settings"]
__version__ = "0.1.0"
