"""Whom a benchmark asks for: users with their plugins, of a site that was made, or of one's own.

A site of one's own is only read.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import anyio

from benchmarks.browser import script_request
from benchmarks.population import ENTRY, PopulatedSite, sampled
from gateway.database.connections import connect
from gateway.identity.jwt import issue_token
from gateway.names import Slug, UserId, parse_slug, parse_user_id
from gateway.settings import Settings, load_settings

# Long enough that only what is measured ends what is cached.
LASTING = {
    **{
        f"GATEWAY__CACHE__{cache}__{setting}": "3600"
        for cache in ("INSTALLATIONS", "VERSIONS")
        for setting in ("TTL", "NEGATIVE_TTL")
    },
    "GATEWAY__CACHE__ASSETS__REVALIDATE": "3600",
}
# In this process: a disk that was busy for some seconds spoils a round, and must not end the run.
_PATIENT = {**LASTING, "GATEWAY__DATABASE__QUERY_TIMEOUT": "60"}
# Tokens are verified in this process alone, so any secret does where the site's is not known.
_SECRET = "for tokens that never leave this process"  # noqa: S105
_TOKEN_TTL_S = 24 * 3600.0
_READ_ROWS = 20_000


class NothingToAsk(Exception):
    """The site has no row that a user could be served by."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A user, and the plugins that he holds."""

    user: UserId
    slugs: Sequence[Slug]


@dataclass(frozen=True, slots=True)
class Asking:
    """One request of a user for one plugin's entry."""

    user: UserId
    raw_path: bytes
    headers: Mapping[str, str]

    @property
    def scope(self) -> dict[str, object]:
        """As uvicorn makes it."""
        return {
            "type": "http",
            "method": "GET",
            "path": self.raw_path.decode(),
            "raw_path": self.raw_path,
            "query_string": b"",
            "root_path": "",
            "client": ("127.0.0.1", 1),
            "headers": [
                (name.lower().encode(), value.encode()) for name, value in self.headers.items()
            ],
        }

    @property
    def request(self) -> bytes:
        """As it goes over a connection."""
        fields = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        path = self.raw_path.decode()
        return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}\r\n".encode()


@dataclass(frozen=True, slots=True)
class Subjects:
    """Settings of a site, and some of its users."""

    settings: Settings
    chosen: Sequence[Subject]

    def asking(self, subject: Subject, place: int = 0) -> Asking:
        slug = subject.slugs[place % len(subject.slugs)]
        token = issue_token(self.settings, subject.user, _TOKEN_TTL_S, time.time())
        path = f"{self.settings.http.api_prefix}/plugins/{slug}/{ENTRY}"
        return Asking(subject.user, path.encode(), script_request(token, "gzip, deflate, br"))


def made_subjects(site: PopulatedSite, count: int) -> Subjects:
    """Of a site that was made."""
    population = site.population
    chosen = [
        Subject(population.user(number), [slug for slug, _ in population.plugins_of(number)])
        for number in sampled(population, count)
    ]
    return Subjects(site.settings(**_PATIENT), chosen)


def own_subjects(database: str, plugins: str, count: int) -> Subjects:
    """Of a site that is there already.

    Raises: NothingToAsk; ConfigurationError; SourceUnavailable.
    """
    settings = load_settings(
        None,
        {
            **_PATIENT,
            "GATEWAY__DATABASE__URL": database,
            "GATEWAY__STORAGE__ROOT": plugins,
            "GATEWAY__IDENTITY__JWT__SECRET": _SECRET,
            # Whoever has a row counts, so that sites without JSON files can be measured.
            "GATEWAY__ACCESS__MISSING_INSTALLATIONS": "allow",
        },
    )
    chosen = list(anyio.run(_read_subjects, settings))[:count]
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
    held: dict[UserId, list[Slug]] = {}
    for user_text, slug_text in rows:
        try:
            held.setdefault(parse_user_id(user_text), []).append(parse_slug(slug_text))
        except ValueError:
            continue
    return (Subject(user, slugs) for user, slugs in held.items())
