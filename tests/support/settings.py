"""Settings that switch off ends of cached values, so that a test sees one of them alone."""

AN_HOUR = {
    f"GATEWAY__CACHE__{cache}__{setting}": "3600"
    for cache in ("INSTALLATIONS", "VERSIONS")
    for setting in ("TTL", "NEGATIVE_TTL")
}
"""No lifetime of a lookup ends, however slow the machine is: only a change makes it stale."""
UNWATCHED = {"GATEWAY__FRESHNESS__WATCH_USERS": "false", "GATEWAY__FRESHNESS__SQLITE_POLL": "0"}
"""The gateway does not look for changes by other programs."""
QUIET = {**AN_HOUR, **UNWATCHED, "GATEWAY__CACHE__ASSETS__REVALIDATE": "3600"}
"""A cached value ends only if the test itself announces a change."""
