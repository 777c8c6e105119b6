"""What an operator can do about a request that is refused: one sentence for each error code.

Names are put into commands that an operator may copy, so only what has been parsed as a name is.
"""

from collections.abc import Mapping

from gateway.errors import RequestError
from gateway.names import parse_or_none, parse_slug, parse_version

_ALLOW_MISSING = (
    "Run: gateway install {plugin} --user {user}; or, if another program installs plugins and"
    ' writes no JSON files, set access.missing_installations = "allow"'
)
_ADVICE: Mapping[str, str] = {
    "not_authenticated": "Send a credential: gateway token --user ID prints one;"
    " gateway explain --user ID explains what a user gets, without a credential",
    "invalid_token": "Get a new credential: gateway token --user ID, or gateway sign for a signed"
    " URL; if new ones are refused too, compare the settings below identity with the application's",
    "type_not_allowed": "Correct the path; or add the suffix to http.allowed_suffixes, if anybody"
    " who has the plugin may read such files",
    "not_installed": "Run: gateway install {plugin} --user {user}",
    "unknown_plugin": "Run: gateway install {plugin} --user {user}; the table has no row of the"
    " plugin for this user",
    "plugin_disabled": "Run: gateway enable {plugin} --user {user}",
    "version_not_published": "Publish the version {version} of {plugin} with gateway publish; or"
    " move the user to the newest one: gateway update {plugin} --user {user}",
    "asset_not_found": "Correct the path, or publish a version that has this file",
    "ambiguous_version": "Ask by database id or with a pinned URL; or move all users of {plugin} to"
    " one version with gateway update",
    "version_retired": "Reload the page: it then names the present build; if this build is needed,"
    " publish it again",
    "source_unavailable": "Look at the database and the disk: gateway check",
}
_BY_APPLICATION = "; an application owns this database, and should make this change itself"
CHANGES = frozenset(
    {
        "not_installed",
        "unknown_plugin",
        "plugin_disabled",
        "version_not_published",
        "ambiguous_version",
    }
)
"""The codes whose advice is to change what users have."""
CODES = frozenset(_ADVICE)
"""The codes for which there is advice: those with which a file can be refused."""


def advice_on(
    error: RequestError,
    *,
    user: str | None,
    plugin: str | None,
    row: str | None,
    would_be_allowed: bool,
    is_of_application: bool,
) -> str:
    """`plugin`: as the request names it. `row`: slug and version of the row that was found.

    `would_be_allowed`: the user has no JSON file, and a setting would serve them without one.
    `is_of_application`: the rows belong to an application; only asked for codes in CHANGES.
    """
    slug, _, version = (row or "").partition(" ")
    if not slug and plugin is not None:
        slug = plugin.removeprefix(f"{user}_")
    template = _ADVICE.get(error.code, "Look up the error code in docs/reference/errors.md")
    if error.code == "not_installed" and would_be_allowed and is_of_application:
        template = _ALLOW_MISSING
    if is_of_application:
        template += _BY_APPLICATION
    return template.format(
        user=user or "ID",
        plugin=parse_or_none(parse_slug, slug) or "SLUG",
        version=parse_or_none(parse_version, version) or "that the row names",
    )
