"""Requests of the browsers of a site's users.

A page is the caller's manifest, then two files of each of their five plugins: with the token by
the plugin's own URL, or, as the real front end asks, by the public pinned URL that the manifest
gives, where the user's id is part of the path.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.client import Answer, Request, ask, browser_headers
from benchmarks.serve.contestants import FilePath, own_path
from benchmarks.sites import CHUNK, ENTRY, Site
from gateway.names import Slug, Version


@dataclass(frozen=True, slots=True)
class File:
    slug: Slug
    version: Version
    name: str

    @property
    def path(self) -> str:
        """Below `plugins/shared`."""
        return f"{self.slug}/v{self.version}/{self.name}"


Kind = tuple[File | None, bool, bool]


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One request of a user, by the user's number."""

    user: int
    file: File | None
    """None: the manifest."""
    is_public: bool = False
    revalidates: bool = False
    """With If-None-Match, so that the answer is 304."""

    @property
    def kind(self) -> Kind:
        """Requests of one kind have one answer, but for the ids in a manifest."""
        return self.file, self.is_public, self.revalidates


class Visitors:
    """The users of a site, who bring their tokens."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._tokens: dict[int, str] = {}

    def files(self, number: int) -> list[File]:
        plugins = self.site.population.plugins_of(number)
        return [File(slug, version, name) for slug, version in plugins for name in (ENTRY, CHUNK)]

    def page(
        self, number: int, *, is_public: bool = False, revalidates: bool = False
    ) -> list[PageRequest]:
        """The manifest comes first. What is pinned is never revalidated."""
        files = (
            PageRequest(number, file, is_public=is_public, revalidates=revalidates)
            for file in self.files(number)
        )
        return [PageRequest(number, None, revalidates=revalidates), *files]

    def every_file(self) -> list[PageRequest]:
        """Each file once by its own URL, asked by the last users who have it."""
        by_file: dict[File, PageRequest] = {}
        population = self.site.population
        number = population.users
        while len(by_file) < 4 * population.plugins:
            number -= 1
            for file in self.files(number):
                by_file.setdefault(file, PageRequest(number, file))
        return list(by_file.values())

    def token(self, number: int) -> str:
        if number not in self._tokens:
            self._tokens[number] = self.site.token(number)
        return self._tokens[number]


class Urls:
    """Makes the requests to one server: its paths, with the ETags that it gave."""

    def __init__(self, visitors: Visitors, path: Callable[[PageRequest], str]) -> None:
        self.visitors = visitors
        self.path = path
        self._etags: dict[tuple[int | None, File | None], str] = {}
        """By user for a manifest, or by file."""

    def request(self, page_request: PageRequest) -> Request:
        """The request as a browser sends it. A public URL gets no token.

        Raises: KeyError, for a revalidation of what was never asked for.
        """
        token = "" if page_request.is_public else self.visitors.token(page_request.user)
        fields = browser_headers(token)
        if page_request.revalidates:
            fields["If-None-Match"] = self._etags[_subject(page_request)]
        return Request(self.path(page_request), fields)

    def raw(self, page_request: PageRequest) -> bytes:
        return self.request(page_request).raw

    def ask(self, port: int, page_request: PageRequest) -> Answer:
        """Keeps the ETag. Raises: OSError, http.client.HTTPException; KeyError, as `request`."""
        request = self.request(page_request)
        answer = ask(port, request.path, request.headers)
        if (etag := answer.field("etag")) is not None:
            self._etags[_subject(page_request)] = etag
        return answer


def _subject(page_request: PageRequest) -> tuple[int | None, File | None]:
    return (None if page_request.file else page_request.user), page_request.file


class GatewayPaths:
    """The gateway's URLs; pins are learned from manifests."""

    def __init__(self, visitors: Visitors) -> None:
        self._population = visitors.site.population
        self._pins: dict[tuple[str, str], str] = {}

    def learn(self, manifest: bytes) -> None:
        for slug, plugin in json.loads(manifest).items():
            version = plugin["version"]
            self._pins[slug, version], _, _ = plugin["bundlelocation"].partition("/")

    def __call__(self, page_request: PageRequest) -> str:
        file = page_request.file
        if file is None:
            return "/api/v1/plugins/manifest"
        if not page_request.is_public:
            return own_path(file.slug, file.version, file.name)
        user = self._population.user(page_request.user)
        pin = self._pins[file.slug, file.version]
        return f"/api/v1/public/plugins/{user}_{file.slug}/{pin}/{file.name}"


def rival_path(path: FilePath, manifest: str) -> Callable[[PageRequest], str]:
    """The URLs of another server, which has the manifest as a file."""

    def of(page_request: PageRequest) -> str:
        file = page_request.file
        return path(file.slug, file.version, file.name) if file else manifest

    return of
