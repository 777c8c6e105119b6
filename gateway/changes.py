"""`Change`: what may have changed. Everybody who makes or notices a change says so with this value.

freshness/invalidation.py applies it to the caches.
"""

from dataclasses import dataclass

import orjson

from gateway.names import Slug, UserId, Version, parse_slug, parse_user_id, parse_version


@dataclass(frozen=True, slots=True)
class Change:
    """A user's rows or JSON file, the files of a plugin, or, if neither is named, anything."""

    user: UserId | None = None
    slug: Slug | None = None
    """The files of this plugin changed; without `version`, those of all its versions."""
    version: Version | None = None
    hard: bool = True
    """True: what is cached is dropped. False: lookups are asked for again at their next use; the
    cached value stands in while their source fails."""
    read_since: float | None = None
    """Not None: there was a commit, and the database is as it was before, as far as lookups and
    manifests hold it. But it may have been different for a while since this moment (seconds of the
    monotonic clock). So they are right, except for values that were read since then and were not
    confirmed."""
    of_manifests: bool = False
    """With `read_since`: columns that only manifests hold may have changed."""

    def encode(self) -> bytes:
        """Compact JSON, for another process. `read_since` and `of_manifests` are left out, as
        the other process has another clock: to it, anything may have changed."""
        return orjson.dumps([self.user, self.slug, self.version, self.hard])

    @classmethod
    def decode(cls, text: bytes) -> "Change":
        """Raises: ValueError, if `text` was not made by `encode`."""
        values = orjson.loads(text)
        if not isinstance(values, list) or len(values) != 4:
            raise ValueError(f"not a change: {text!r}")
        user, slug, version, hard = values
        return cls(
            None if user is None else parse_user_id(user),
            None if slug is None else parse_slug(slug),
            None if version is None else parse_version(version),
            bool(hard),
        )


ANYTHING = Change(hard=False)
"""For a source that cannot say what changed, or that may have missed a change."""
