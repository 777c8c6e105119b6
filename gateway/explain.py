"""Why a request answers as it does: the real decision, written down while it is made."""

from dataclasses import dataclass
from urllib.parse import quote

from gateway.application import Gateway
from gateway.basis import Basis
from gateway.errors import RequestError
from gateway.names import UserId, parse_target
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what was asked, what came of it, where the answer is from."""

    name: str
    outcome: str
    source: str


class Explanation(Basis):
    """The steps in their order, and the answer they led to."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.answer = ""
        self.served = False

    def note(self, step: str, outcome: str, source: str) -> None:
        self.steps.append(Step(step, outcome, source))


async def explain(settings: Settings, user: UserId, plugin: str, path: str) -> Explanation:
    """The decision for `user` on the authenticated route, from the sources as they are now."""
    explanation = Explanation()
    gateway = Gateway(settings)
    async with gateway.running(listening=False):
        try:
            target = parse_target(quote(f"{plugin}/{path}", safe="/@~").encode())
            resolution = await gateway.resolver.resolve(user, target, explanation)
            key = resolution.key
            file_path = gateway.storage.construct_shared_path(key.slug, key.version) / key.path
            explanation.note("path", str(file_path), "constructed")
            representation = await gateway.assets.get(key, explanation)
            explanation.note(
                "file", f"{representation.identity.size} bytes", str(representation.identity.etag)
            )
            explanation.answer = f"200: {key.path} of {key.slug} {key.version}"
            explanation.served = True
        except RequestError as error:
            explanation.answer = f"{error.status} {error.code}: {error.reason}"
    return explanation
