"""Asks the gateway, the application beside it, and the proxy in front of both the same questions.

For `gateway check --application`. It changes nothing anywhere, and sends to others only a token of
a user, never the admin token.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from gateway.core import Core
from gateway.database.survey import BundleRow, Survey
from gateway.identity.chain import NO_CREDENTIALS
from gateway.names import UserId, parse_or_none, parse_user_id
from gateway.settings import Settings
from gateway.upkeep.asking import Answer, NoAnswer, Server
from gateway.upkeep.check_results import CheckResult
from gateway.upkeep.comparison import (
    APPLICATION,
    GATEWAY,
    PROXY,
    Answers,
    compare_files,
    compare_manifests,
    compare_origins,
    compare_refusals,
    judge_proxy,
)

Asker = Callable[[str, Mapping[str, str]], Answer]
"""Answers a GET of a target with these fields. Raises: NoAnswer."""

_LEFT_TO_PROXY = {"x-accel-redirect", "x-sendfile"}
"""Fields with which the gateway names a file that the proxy sends."""
_USERS = 50
"""So many users are looked at for a file that is served."""


@dataclass(frozen=True, slots=True)
class Questions:
    api: str
    file: str | None
    """The target of a plugin's file on the public route; None: no file is asked for."""
    token: str | None = field(repr=False)
    """A user's token."""
    origin: str | None = None
    """Where the pages come from that read the answers; None: from the same origin."""

    @property
    def updates(self) -> str:
        """What the application's plugin manager answers, and refuses at once without a token."""
        return f"{self.api}/plugins/updates/available"

    def put_to(self, ask: Asker, *, has_updates: bool) -> Answers:
        """Raises: NoAnswer."""
        manifest = f"{self.api}/plugins/manifest"
        authorization = {"Authorization": f"Bearer {self.token}"}
        return Answers(
            file=ask(self.file, {}) if self.file else None,
            refusal=ask(manifest, {"Origin": self.origin} if self.origin else {}),
            manifest=ask(manifest, authorization) if self.token else None,
            updates=ask(self.updates, {}) if has_updates else None,
        )


async def choose_file(settings: Settings, user: UserId | None) -> str | None:
    """The public URL of an entry file that the gateway serves; of this user's if one is given.

    None, if there is none. Raises: ConfigurationError, SourceUnavailable.
    """
    if not settings.access.public:
        return None
    core = Core(settings, NO_CREDENTIALS)
    async with core.running(follow_changes=False):
        async for row in _bundles(Survey(core.database.tables), user):
            owner = parse_or_none(parse_user_id, row.user_id)
            path = str(row.bundle_location or "").removeprefix("/")
            if owner is None or row.plugin_slug is None:
                continue
            if (await core.explainer.explain(owner, row.plugin_slug, path)).served:
                return f"{settings.http.api_prefix}/public/plugins/{quote(row.id)}/{quote(path)}"
    return None


async def _bundles(survey: Survey, user: UserId | None) -> AsyncIterator[BundleRow]:
    users = [user] if user else await survey.read_user_ids(after=None, limit=_USERS)
    for row in await survey.read_bundles(users):
        if row.enabled:
            yield row


def compare_beside(
    questions: Questions, gateway: Asker, application: Server, proxy: Server | None
) -> Iterator[CheckResult]:
    """One result about each answer. Ends with the first server that does not answer."""
    if questions.file is None:
        text = "no file is compared: no plugin is found that the public route serves"
        yield CheckResult.warning(
            APPLICATION, text, "gateway list shows who has what; --url names a file"
        )
    try:
        ours = questions.put_to(gateway, has_updates=False)
    except NoAnswer as error:
        yield CheckResult.error(GATEWAY, f"the gateway does not answer: {error}")
        return
    try:
        theirs = questions.put_to(application.ask, has_updates=proxy is not None)
    except NoAnswer as error:
        text = f"the application at {application} does not answer: {error}"
        yield CheckResult.error(APPLICATION, text)
        return
    through, problem = _through(proxy, questions)
    ours = _with_bytes(ours, through)
    yield from _compare(questions, ours, theirs)
    if problem is not None:
        yield problem
    if through is not None:
        yield from judge_proxy(through, ours, theirs, questions.updates)


def _through(
    proxy: Server | None, questions: Questions
) -> tuple[Answers | None, CheckResult | None]:
    """The proxy's answers, or that it does not answer; neither, if there is no proxy."""
    if proxy is None:
        return None, None
    try:
        return questions.put_to(proxy.ask, has_updates=True), None
    except NoAnswer as error:
        text = f"the proxy at {proxy} does not answer: {error}"
        return None, CheckResult.error(PROXY, text)


def _with_bytes(ours: Answers, through: Answers | None) -> Answers:
    """The gateway's answers. If it leaves the file to the proxy, as with `delivery.mode = "accel"`,
    the answer has the bytes that the proxy sends, or is left out.
    """
    if ours.file is None or not _LEFT_TO_PROXY & ours.file.fields.keys():
        return ours
    if through is None or through.file is None:
        return ours._replace(file=None)
    return ours._replace(file=replace(ours.file, body=through.file.body))


def _compare(questions: Questions, ours: Answers, theirs: Answers) -> Iterator[CheckResult]:
    if ours.file and theirs.file and questions.file:
        yield from compare_files(questions.file, ours.file, theirs.file)
    elif questions.file:
        text = "no file is compared: the gateway leaves the bytes to the proxy"
        yield CheckResult.warning(APPLICATION, text, "--proxy names the proxy")
    yield compare_refusals(ours.refusal, theirs.refusal)
    if questions.origin:
        yield compare_origins(questions.origin, ours.refusal, theirs.refusal)
    if ours.manifest and theirs.manifest:
        yield compare_manifests(ours.manifest, theirs.manifest)
