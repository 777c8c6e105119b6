"""The users for whom a benchmark sends requests: of a site that it made, or of your own site.

Your own site is only read.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import anyio

from benchmarks.client import Request, browser_headers
from benchmarks.machine import CannotMeasure
from benchmarks.sites import ENTRY, LASTING, Site
from gateway.database.connections import connect
from gateway.identity.jwt import issue_token
from gateway.names import Slug, UserId, parse_slug, parse_user_id
from gateway.settings import Settings, load_settings

# A disk that is busy for some seconds may spoil a round, but must not end the run.
_PATIENT = {**LASTING, "GATEWAY__DATABASE__QUERY_TIMEOUT": "60"}
# Tokens are verified in this process only, so the secret need not be the site's.
_SECRET = "for tokens that never leave this process"  # noqa: S105
_TOKEN_TTL_S = 24 * 3600.0
_READ_ROWS = 20_000


class NothingToAsk(CannotMeasure):
    """The site has no row that a user could be served by."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A user, and the plugins that they have."""

    user: UserId
    slugs: Sequence[Slug]


@dataclass(frozen=True, slots=True)
class Subjects:
    """Settings of a site, and some of its users."""

    settings: Settings
    chosen: Sequence[Subject]

    def request(self, subject: Subject, place: int = 0, file: str = ENTRY) -> Request:
        """For a file of the user's plugin at that place."""
        slug = subject.slugs[place % len(subject.slugs)]
        token = issue_token(self.settings, subject.user, _TOKEN_TTL_S, time.time())
        path = f"{self.settings.http.api_prefix}/plugins/{slug}/{file}"
        return Request(path, browser_headers(token), subject.user)


def made_subjects(site: Site, users: int) -> Subjects:
    """That many users at most of a site that was made, spread over all."""
    population = site.population
    chosen = [
        Subject(population.user(number), [slug for slug, _ in population.plugins_of(number)])
        for number in population.sampled(users)
    ]
    return Subjects(site.settings(**_PATIENT), chosen)


def own_subjects(database: str, plugins: str, users: int) -> Subjects:
    """That many users at most of a site that exists: a database's URL and a plugins folder.

    Raises: NothingToAsk; ConfigurationError; SourceUnavailable.
    """
    settings = load_settings(
        None,
        {
            **_PATIENT,
            "GATEWAY__DATABASE__URL": database,
            "GATEWAY__STORAGE__ROOT": plugins,
            "GATEWAY__IDENTITY__JWT__SECRET": _SECRET,
            # Every row counts, so that sites without JSON files can be measured.
            "GATEWAY__ACCESS__MISSING_INSTALLATIONS": "allow",
        },
    )
    chosen = list(anyio.run(_read_subjects, settings))[:users]
    if not chosen:
        raise NothingToAsk("the table plugin has no enabled row with a usable slug and version")
    return Subjects(settings, chosen)


async def _read_subjects(settings: Settings) -> Iterator[Subject]:
    connection = connect(settings)
    await connection.open()
    try:
        rows = await connection.fetch(
            "SELECT user_id, plugin_slug FROM plugin WHERE enabled ORDER BY user_id LIMIT $1",
            _READ_ROWS,
        )
    finally:
        await connection.close()
    slugs: dict[UserId, list[Slug]] = {}
    for user_text, slug_text in rows:
        try:
            slugs.setdefault(parse_user_id(user_text), []).append(parse_slug(slug_text))
        except ValueError:
            continue
    return (Subject(user, plugins) for user, plugins in slugs.items())
