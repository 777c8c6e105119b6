"""`…/{plugin}/@{version}~{build}/?integrity` on each route of files: the integrity of all files.

A page needs it for the chunks of a plugin, whose names no manifest has. The answer is kept as a
file of the pin is, for neither can change. Without that query the URL names a folder, and is
refused as a folder is.
"""

from collections.abc import Collection
from weakref import WeakKeyDictionary

import orjson
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.caching.basis import Basis
from gateway.endpoints.assets import AssetRoute, answered_by_method
from gateway.endpoints.json_answers import conditional_answer
from gateway.errors import AssetNotFound
from gateway.http.heads import joined_headers
from gateway.http.json_types import TypedDict, json_object
from gateway.http.representation import Variant, open_json_variant
from gateway.names import AssetPath, suffix
from gateway.serving.shared_versions import SharedVersion

QUERY = "integrity"
_QUERIES = (b"integrity", b"integrity=")


@json_object
class PinnedIntegrity(TypedDict):
    """The files of a pin that are served, and what a page writes into `integrity` for each."""

    files: dict[str, str]
    """`sha384-` and base64, by the path below the pin."""


class IntegrityTexts:
    """The answer for each version, made when it is asked for first, for all routes."""

    def __init__(self, allowed_suffixes: Collection[str]) -> None:
        self._suffixes = frozenset(f".{ending}" for ending in allowed_suffixes)
        self._variants: WeakKeyDictionary[SharedVersion, Variant] = WeakKeyDictionary()

    def of(self, version: SharedVersion) -> Variant:
        variant = self._variants.get(version)
        if variant is None:
            files = {
                path: integrity
                for path, integrity in version.integrity.by_path.items()
                if suffix(AssetPath(path)) in self._suffixes
            }
            content: PinnedIntegrity = {"files": files}
            variant = self._variants[version] = open_json_variant(orjson.dumps(content))
        return variant


class IntegrityRoute:
    """The URLs of pins below one route of files."""

    def __init__(self, files: AssetRoute, texts: IntegrityTexts) -> None:
        self._files = files
        self._texts = texts
        self.route = Route(files.pin_pattern, self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["query_string"] not in _QUERIES:
            await self._files(scope, receive, send)
            return
        if await answered_by_method(scope, send):
            return
        files, headers = self._files, joined_headers(scope)
        below = files.path_below(scope)
        found = await Basis.of(scope).settled(files.resolve_pin, scope, headers, below)
        if found.version.integrity.problem:
            detail = "The integrity of this version is not known" if found.owned else None
            raise AssetNotFound(detail, reason=found.version.integrity.problem)
        variant = self._texts.of(found.version)
        lifetime = files.pinned_lifetime
        answer = conditional_answer(scope["method"], headers, variant, lifetime)
        await answer(scope, receive, send)
