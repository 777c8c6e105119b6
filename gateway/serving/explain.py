"""Explains a request's answer: makes the real decision, and writes down its steps."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote

from anyio.to_thread import run_sync

from gateway.caching.traced_basis import TracedBasis
from gateway.database.plugin_database import PluginDatabase
from gateway.database.tables import has_other_tables
from gateway.disk.storage import PluginStorage
from gateway.errors import (
    NotServed,
    RequestError,
    SourceUnavailable,
    StorageError,
    UnknownPlugin,
)
from gateway.http.json_types import TypedDict, json_object
from gateway.http.representation import Representation
from gateway.names import AssetKey, UserId, parse_target
from gateway.serving.advice import CHANGES, advice_on
from gateway.serving.asset_store import AssetStore
from gateway.serving.resolver import Resolver
from gateway.settings import AccessSettings


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a decision: the question, its outcome, and the source of the answer."""

    name: str
    outcome: str
    source: str


@json_object
class Ages(TypedDict):
    """How old the entry of a cache was that the decision rests on."""

    age_s: float
    fresh_for_s: float
    """Negative if it is stale."""


@json_object
class ExplanationAnswer(TypedDict):
    """The decision, its steps, and what to do about a refusal."""

    answer: str
    """Status, code and reason."""
    served: bool
    advice: str
    """What to do about a refusal, one sentence; empty if the file is served."""
    steps: list[Step]
    caches: dict[str, Ages]


class Explanation(TracedBasis):
    """The steps in their order, the answer, and what to do about a refusal."""

    is_noted = True

    def __init__(self, user: UserId | None = None) -> None:
        super().__init__()
        self.user = user
        """Whose plugin it is, once that is known."""
        self.plugin: str | None = None
        """As the request names it."""
        self.steps: list[Step] = []
        self.answer = ""
        self.advice = ""
        """What to do about it, one sentence; empty if the file is served."""
        self.served = False

    def _begin_again(self) -> None:
        self.steps.clear()

    def identified(self, _user: str) -> None:
        """It decides as for somebody else: the request that asks for it is another one."""
        self.mark("identify")

    def note(self, step: str, outcome: str, source: str) -> None:
        self.steps.append(Step(step, outcome, source))

    def outcome(self, name: str) -> str | None:
        """The outcome of a step; None if there is no such step."""
        return next((step.outcome for step in self.steps if step.name == name), None)

    def as_json(self) -> ExplanationAnswer:
        return {
            "answer": self.answer,
            "served": self.served,
            "advice": self.advice,
            "steps": self.steps,
            "caches": {
                name: {"age_s": round(age_s, 3), "fresh_for_s": round(fresh_s, 3)}
                for name, (age_s, fresh_s) in self.ages().items()
            },
        }


class Explainer:
    """Makes decisions without serving anything."""

    def __init__(
        self,
        resolver: Resolver,
        storage: PluginStorage,
        assets: AssetStore,
        database: PluginDatabase,
        access: AccessSettings,
    ) -> None:
        self._resolver = resolver
        self._database = database
        self._storage = storage
        self._assets = assets
        self._missing_is_denied = access.missing_installations == "deny"
        """Whether a user without a JSON file gets nothing."""

    async def explain(self, user: UserId, plugin: str, path: str) -> Explanation:
        """The decision that the authenticated route would make for `user` at this moment."""
        explanation = Explanation(user)
        explanation.plugin = plugin

        async def decide() -> None:
            await explanation.settled(self._decide, user, f"{plugin}/{path}")

        await self.conclude(explanation, decide)
        return explanation

    async def conclude(
        self, explanation: Explanation, decide: Callable[[], Awaitable[None]]
    ) -> None:
        """Waits for the decision. If it is a refusal, writes down why, and what to do about it."""
        try:
            await decide()
        except RequestError as error:
            explanation.answer = f"{error.status} {error.code}: {error.reason}"
            row = (explanation.outcome("row") or "").partition(",")[0]
            owner = explanation.user or explanation.outcome("owner")
            cause = _cause(error)
            explanation.advice = advice_on(
                cause,
                user=owner,
                plugin=explanation.plugin,
                row=row if row != "none" else None,
                would_be_allowed=await run_sync(self._has_no_file, owner),
                is_of_application=cause.code in CHANGES and await self._is_of_application(),
            )

    def note_file(
        self, explanation: Explanation, key: AssetKey, representation: Representation
    ) -> None:
        """Writes down that the file is served."""
        file_path = self._storage.construct_shared_path(key.slug, key.version) / key.path
        explanation.note("path", str(file_path), "constructed")
        file = representation.identity
        explanation.note("file", f"{file.size} bytes", str(file.etag))
        explanation.answer = f"200: {key.path} of {key.slug} {key.version}"
        explanation.served = True

    def _decide(self, explanation: Explanation, user: UserId, path: str) -> None:
        target = parse_target(quote(path, safe="/@~").encode())
        key = self._resolver.resolve(explanation, user, target).key
        self.note_file(explanation, key, self._assets.get(explanation, key))

    def _has_no_file(self, user: str | None) -> bool:
        """Whether a setting would serve the user, who has no JSON file. Blocking."""
        if not self._missing_is_denied or user is None:
            return False
        try:
            return self._storage.users.read_content(UserId(user)) is None
        except StorageError:
            return False

    async def _is_of_application(self) -> bool:
        try:
            return await has_other_tables(self._database.tables.connection)
        except SourceUnavailable:
            return False


def _cause(error: RequestError) -> RequestError:
    """What the advice is about: a stranger sees `UnknownPlugin` for several reasons."""
    hidden = error.__context__
    if isinstance(error, UnknownPlugin) and isinstance(hidden, NotServed):
        return hidden
    return error
