"""Explains a request's answer: makes the real decision, and writes down its steps."""

from dataclasses import dataclass
from urllib.parse import quote

from gateway.caching.traced_basis import TracedBasis
from gateway.disk.storage import PluginStorage
from gateway.errors import RequestError
from gateway.names import UserId, parse_target
from gateway.serving.asset_store import AssetStore
from gateway.serving.resolver import Resolver


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a decision: the question, its outcome, and the source of the answer."""

    name: str
    outcome: str
    source: str


class Explanation(TracedBasis):
    """The steps in their order, and the answer."""

    is_noted = True

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.answer = ""
        self.served = False

    def _begin_again(self) -> None:
        self.steps.clear()

    def note(self, step: str, outcome: str, source: str) -> None:
        self.steps.append(Step(step, outcome, source))


class Explainer:
    """Makes decisions without serving anything."""

    def __init__(self, resolver: Resolver, storage: PluginStorage, assets: AssetStore) -> None:
        self._resolver = resolver
        self._storage = storage
        self._assets = assets

    async def explain(self, user: UserId, plugin: str, path: str) -> Explanation:
        """The decision that the authenticated route would make for `user` at this moment."""
        explanation = Explanation()
        try:
            await explanation.settled(self._decide, user, plugin, path)
        except RequestError as error:
            explanation.answer = f"{error.status} {error.code}: {error.reason}"
        return explanation

    def _decide(self, explanation: Explanation, user: UserId, plugin: str, path: str) -> None:
        target = parse_target(quote(f"{plugin}/{path}", safe="/@~").encode())
        resolution = self._resolver.resolve(explanation, user, target)
        key = resolution.key
        file_path = self._storage.construct_shared_path(key.slug, key.version) / key.path
        explanation.note("path", str(file_path), "constructed")
        file = self._assets.get(explanation, key).identity
        explanation.note("file", f"{file.size} bytes", str(file.etag))
        explanation.answer = f"200: {key.path} of {key.slug} {key.version}"
        explanation.served = True
