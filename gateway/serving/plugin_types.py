"""The JSON of plugins and modules as types: what formats.py, catalogue.py and manifests.py make.

The keys are BrainDrive-Core's; a column that the application left NULL is null. Values are shown as
another program stored them, so one that no application writes may have another type than here.
"""

from typing import Any, Literal, NotRequired

from gateway.http.json_types import JsonObject, TypedDict, json_object


@json_object
class PluginFields(TypedDict):
    """What a manifest and a single plugin have in common."""

    plugin_slug: str | None
    name: str | None
    description: str | None
    version: str | None
    type: str | None
    pluginType: str | None
    enabled: bool
    icon: str | None
    category: str | None
    status: str | None
    official: bool | None
    author: str | None
    lastUpdated: str | None
    compatibility: str | None
    downloads: int | None
    scope: str | None
    bundlemethod: str | None
    bundlelocation: str | None
    islocal: bool | None
    longDescription: str | None
    userId: str
    sourceType: str | None
    sourceUrl: str | None
    updateCheckUrl: str | None
    lastUpdateCheck: str | None
    updateAvailable: bool | None
    latestVersion: str | None
    installationType: str | None
    endpointsFile: str | None
    routePrefix: str | None
    configFields: JsonObject
    messages: JsonObject
    dependencies: list[Any]
    permissions: list[Any]
    requiredServicesRuntime: list[Any]
    backendDependencies: list[Any]


@json_object
class Module(TypedDict):
    """One module of a plugin."""

    id: str
    pluginId: str
    """In a manifest the slug of its plugin, elsewhere the database id."""
    name: str | None
    displayName: str | None
    description: str | None
    icon: str | None
    category: str | None
    enabled: bool
    priority: int | None
    userId: str | None
    props: JsonObject
    configFields: JsonObject
    requiredServices: JsonObject
    layout: JsonObject
    dependencies: list[Any]
    tags: list[Any]
    messages: JsonObject


@json_object
class Modules(TypedDict):
    """The modules of a plugin."""

    modules: list[Module]


@json_object
class Plugin(PluginFields):
    """One plugin outside a manifest: `id` is its database id, and `bundlelocation` has no pin."""

    id: str


@json_object
class PluginWithModules(Plugin):
    """One plugin with its modules."""

    modules: list[Module]


@json_object
class PreloadedScript(TypedDict):
    """A script that a page loads at once, for `<link rel="preload" as="script">`."""

    href: str
    """Relative, as `bundlelocation`."""
    integrity: str


@json_object
class ManifestPlugin(PluginFields):
    """One plugin in a manifest: `id` is its slug, and `bundlelocation` begins with a pin, unless it
    is null, an absolute URL, or of a version without a folder.
    """

    id: str
    database_id: NotRequired[str]
    """Absent if the row has no slug: `id` is then the database id."""
    integrity: NotRequired[str]
    """For `script.integrity`: `sha384-` and base64. Absent unless `bundlelocation` has the pin of
    what `gateway publish` published.
    """
    preload: NotRequired[list[PreloadedScript]]
    """The entry first, then the chunks that its modules need at once, as far as they are certain;
    at most 20. Absent where `integrity` is.
    """
    installation_metadata: JsonObject
    """What the user's `installed_plugins.json` says; `{}` if there is no such file."""


@json_object
class DesignerPlugin(ManifestPlugin):
    """One plugin in a manifest, with its modules."""

    modules: list[Module]


@json_object
class PluginInfo(TypedDict):
    """The row of a plugin in a status. Here alone `enabled` is an integer."""

    id: str
    name: str | None
    version: str | None
    enabled: int
    created_at: str | None
    updated_at: str | None


@json_object
class PluginHealth(TypedDict):
    """The files of the version that the user has."""

    bundle_exists: bool
    bundle_size: int
    """In bytes."""
    package_json_valid: bool
    assets_present: bool


@json_object
class PluginStatus(TypedDict):
    """The status of a plugin that the user has a row of."""

    plugin_slug: str
    exists: Literal[True]
    status: Literal["healthy", "unhealthy", "not_installed"]
    """`not_installed`: the user's `installed_plugins.json` does not have the plugin."""
    plugin_id: str
    plugin_info: PluginInfo
    health_details: PluginHealth
    installation_metadata: JsonObject | None


@json_object
class NoPluginStatus(TypedDict):
    """The status of a plugin that the user has no row of."""

    plugin_slug: str
    """As in the request."""
    exists: Literal[False]
    status: Literal["not_installed"]


@json_object
class StatusAnswer(TypedDict):
    """The application wraps its answers about one plugin in the same way."""

    status: Literal["success"]
    data: PluginStatus | NoPluginStatus
