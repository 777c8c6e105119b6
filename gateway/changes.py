"""`Change`: what may have changed, as everybody says it who notices or makes one.

A change is a value. `freshness/invalidation.py` applies it to the caches.
"""

from dataclasses import dataclass

import orjson

from gateway.names import Slug, UserId, Version, parse_slug, parse_user_id, parse_version


@dataclass(frozen=True, slots=True)
class Change:
    """Something about a user, about a plugin's files, or about anything at all."""

    user: UserId | None = None
    slug: Slug | None = None
    version: Version | None = None
    hard: bool = True
    """Hard: what was known is forgotten. Soft: it is asked for again at its next use, and
    stands in while the source fails."""
    read_since: float | None = None
    """All that lookups hold is right, except for what they read of the database since this moment
    of the monotonic clock and what was not confirmed. Answers made of whole rows may be wrong."""

    def encode(self) -> bytes:
        """Compact JSON, for another process. Its clock is another one, so `read_since` is left
        out: to it, anything may have changed."""
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
"""A source cannot say what changed, or was not heard for a while."""
