"""The next version of the demo's NetworkReview, made from the newest one that the site has.

It differs in its number and in the colour of its head, in the sources and in what webpack built of
them. Only the demo's own site is read and written, never the `plugins/` of a checkout.
"""

import re
import shutil
import tempfile
from pathlib import Path

import anyio
from anyio.to_thread import run_sync

from gateway.errors import PublishingError
from gateway.lifecycle.publishing import Published
from gateway.names import Slug, Version, newest_version
from gateway.site import Site

SLUG = Slug("NetworkReview")
MAX_VERSIONS = 20
"""Of the plugin in the site: whoever reaches the page can publish."""

HEAD_COLOUR = re.compile(r"(--n[er]-band: )(#[0-9a-f]{6})")
# White text on them has a contrast of at least 4.5 (WCAG 2.2, 1.4.3).
_COLOURS = ("#5b3a8e", "#1d6b3f", "#8a1c4a", "#7a5200", "#3d4b5c")
_PATCH = re.compile(r"(\d+\.\d+\.)(\d+)")
_TEXTS = (".js", ".jsx", ".json")


class NextVersions:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = anyio.Lock()

    async def publish(self) -> Published:
        """Publishes the next version for all users. Nobody has it until they are updated.

        Raises: PublishingError, if there are MAX_VERSIONS already.
        """
        async with self._lock:  # two clicks are two versions
            return await self._publish()

    async def _publish(self) -> Published:
        shared = self._site.storage.shared
        versions = await run_sync(shared.versions_of, SLUG)
        if len(versions) >= MAX_VERSIONS:
            raise PublishingError(f"{SLUG} has {MAX_VERSIONS} versions, the most that it may have")
        last = newest_version(versions)
        if last is None:
            raise PublishingError(f"{SLUG} has no version that another one could be made from")
        following = next_patch(last)
        with tempfile.TemporaryDirectory(prefix="gateway-next-") as work:
            source = Path(work) / SLUG
            await run_sync(_make, shared.version_folder(SLUG, last), source, last, following)
            return await self._site.publish(source, by="the demo's page")


def next_patch(version: Version) -> Version:
    """Raises: PublishingError, if the version has no patch number."""
    match = _PATCH.fullmatch(version)
    if match is None:
        raise PublishingError(f"{SLUG}: expected a version such as 1.0.1, got {version}")
    return Version(f"{match[1]}{int(match[2]) + 1}")


def _make(published: Path, target: Path, last: Version, following: Version) -> None:
    """Blocking."""
    shutil.copytree(published, target, ignore=shutil.ignore_patterns(".*"))
    colour = _COLOURS[int(following.rpartition(".")[2]) % len(_COLOURS)]
    for path in target.rglob("*"):
        if path.suffix in _TEXTS:
            text = path.read_text("utf-8").replace(f'"{last}"', f'"{following}"')
            text = text.replace(f"{SLUG} {last}", f"{SLUG} {following}")
            path.write_text(HEAD_COLOUR.sub(rf"\g<1>{colour}", text), "utf-8")
