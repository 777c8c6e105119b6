"""What the browsers of a populated site's users ask for, ready to be sent.

A page is the caller's manifest, then two files of each of their five plugins: with the token by
the plugin's own URL, or, as the real front end asks, by the public pinned URL that the manifest
gives, where the user's id is part of the path.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.browser import script_request
from benchmarks.population import CHUNK, ENTRY, PopulatedSite
from benchmarks.serve.probe import Answer, ask
from gateway.identity.jwt import issue_token
from gateway.names import Slug, Version

_CODINGS = "gzip, deflate, br"
_TOKEN_TTL_S = 24 * 3600.0
MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True, slots=True)
class File:
    slug: Slug
    version: Version
    name: str

    @property
    def path(self) -> str:
        """Below `plugins/shared`."""
        return f"{self.slug}/v{self.version}/{self.name}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request of a user, who has a number."""

    user: int
    file: File | None
    """None: the manifest."""
    is_public: bool = False
    revalidates: bool = False
    """With If-None-Match, so that the answer is 304."""

    @property
    def kind(self) -> tuple[File | None, bool, bool]:
        """Requests of one kind have one answer, but for the ids in a manifest."""
        return self.file, self.is_public, self.revalidates


class Visitors:
    """The users of a site, who bring their tokens."""

    def __init__(self, site: PopulatedSite) -> None:
        self.site = site
        self._settings = site.settings()
        self._tokens: dict[int, str] = {}

    def files(self, number: int) -> list[File]:
        plugins = self.site.population.plugins_of(number)
        return [File(slug, version, name) for slug, version in plugins for name in (ENTRY, CHUNK)]

    def page(
        self, number: int, *, is_public: bool = False, revalidates: bool = False
    ) -> list[Wanted]:
        """The manifest comes first. What is pinned is never revalidated."""
        files = (
            Wanted(number, file, is_public=is_public, revalidates=revalidates)
            for file in self.files(number)
        )
        return [Wanted(number, None, revalidates=revalidates), *files]

    def everything(self) -> list[Wanted]:
        """Each file once by its own URL, asked by the last users who have it."""
        found: dict[File, Wanted] = {}
        population = self.site.population
        number = population.users
        while len(found) < 4 * population.plugins:
            number -= 1
            for file in self.files(number):
                found.setdefault(file, Wanted(number, file))
        return list(found.values())

    def headers(self, wanted: Wanted, etag: str | None = None) -> dict[str, str]:
        """As a browser sends them; to a public URL it sends no token."""
        fields = dict(script_request(self._token(wanted.user), _CODINGS))
        if wanted.is_public:
            del fields["Authorization"]
        if etag is not None:
            fields["If-None-Match"] = etag
        return fields

    def _token(self, number: int) -> str:
        if number not in self._tokens:
            user = self.site.population.user(number)
            token = issue_token(self._settings, user, _TOKEN_TTL_S, time.time())
            self._tokens[number] = token
        return self._tokens[number]


class Urls:
    """The paths of one server."""

    def __init__(self, visitors: Visitors, path: Callable[[Wanted], str]) -> None:
        self.visitors = visitors
        self.path = path
        self.etags: dict[tuple[int | None, File | None], str] = {}
        """Of a user's manifest, or of a file."""

    def request(self, wanted: Wanted) -> bytes:
        etag = self.etags[self._subject(wanted)] if wanted.revalidates else None
        fields = self.visitors.headers(wanted, etag)
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"GET {self.path(wanted)} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n".encode()

    def ask(self, port: int, wanted: Wanted) -> Answer:
        """Keeps the ETag. Raises: OSError, http.client.HTTPException; KeyError, for a
        revalidation of what was never asked for."""
        subject = self._subject(wanted)
        etag = self.etags[subject] if wanted.revalidates else None
        answer = ask(port, self.path(wanted), self.visitors.headers(wanted, etag))
        if (found := answer.field("etag")) is not None:
            self.etags[subject] = found
        return answer

    @staticmethod
    def _subject(wanted: Wanted) -> tuple[int | None, File | None]:
        return (None if wanted.file else wanted.user), wanted.file


class GatewayPaths:
    """The gateway's URLs; pins are learned from manifests."""

    def __init__(self, visitors: Visitors) -> None:
        self._visitors = visitors
        self.pins: dict[tuple[str, str], str] = {}

    def learn(self, manifest: bytes) -> None:
        for slug, plugin in json.loads(manifest).items():
            version = plugin["version"]
            pinned, _, _ = plugin["bundlelocation"].partition("/")
            self.pins[slug, version] = pinned

    def __call__(self, wanted: Wanted) -> str:
        file = wanted.file
        if file is None:
            return "/api/v1/plugins/manifest"
        if not wanted.is_public:
            return f"/api/v1/plugins/{file.slug}/{file.name}"
        user = self._visitors.site.population.user(wanted.user)
        pin = self.pins[file.slug, file.version]
        return f"/api/v1/public/plugins/{user}_{file.slug}/{pin}/{file.name}"


def folder_path(wanted: Wanted) -> str:
    """Where servers of plain folders have it."""
    return f"/{wanted.file.path if wanted.file else MANIFEST_NAME}"


def uncached_path(wanted: Wanted) -> str:
    return f"/plugins/{wanted.file.slug}/{wanted.file.name}" if wanted.file else "/"
