"""What `gateway doctor` can find: every code, its severity, and what to do about it.

docs/how-to/operations.md has the same table. Programs read the codes, so a code never changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path


class Severity(StrEnum):
    """Errors and warnings are problems; notes are not."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Code(StrEnum):
    VERSION_WITHOUT_FOLDER = "version_without_folder"
    UNUSABLE_VERSION = "unusable_version"
    UNUSABLE_SLUG = "unusable_slug"
    UNUSABLE_USER = "unusable_user"
    DUPLICATE_SLUG = "duplicate_slug"
    CONTRADICTING_ID = "contradicting_id"
    CONTRADICTING_MODULE = "contradicting_module"
    MODULE_WITHOUT_PLUGIN = "module_without_plugin"
    BROKEN_INSTALLATIONS = "broken_installations"
    NO_INSTALLATIONS = "no_installations"
    ROW_WITHOUT_ENTRY = "row_without_entry"
    ENTRY_WITHOUT_ROW = "entry_without_row"
    CONTRADICTING_VALUE = "contradicting_value"
    OLD_FORMAT = "old_format"
    USER_WITHOUT_ROW = "user_without_row"
    DRIFTED_CONTENT = "drifted_content"
    NO_RECORD = "no_record"
    NO_ENTRY_FILE = "no_entry_file"
    UNREADABLE_VERSION = "unreadable_version"
    FOREIGN_NAME = "foreign_name"
    TEMPORARY_FILE = "temporary_file"
    ABANDONED_STAGING = "abandoned_staging"


@dataclass(frozen=True, slots=True)
class Kind:
    severity: Severity
    hint: str = ""
    fixable: bool = False
    """Whether --fix mends it; it does so only where nothing is lost."""


_ERROR, _WARNING, _NOTE = Severity
_FIX = "gateway doctor --fix removes it"

KINDS: Mapping[Code, Kind] = {
    Code.VERSION_WITHOUT_FOLDER: Kind(_ERROR, "publish the version, or move the user to another"),
    Code.UNUSABLE_VERSION: Kind(_ERROR, "a version must be able to name a folder"),
    Code.UNUSABLE_SLUG: Kind(_ERROR, "a slug must be able to name a folder"),
    Code.UNUSABLE_USER: Kind(_ERROR, "a user id must be able to name a folder, without dashes"),
    Code.DUPLICATE_SLUG: Kind(_ERROR, "delete all rows but one; any of them may be served"),
    Code.CONTRADICTING_ID: Kind(_WARNING, "the column user_id decides who is served"),
    Code.CONTRADICTING_MODULE: Kind(_WARNING, "the plugin's user decides who sees the module"),
    Code.MODULE_WITHOUT_PLUGIN: Kind(_WARNING, "nobody sees it; delete the row"),
    Code.BROKEN_INSTALLATIONS: Kind(_ERROR, "repair the file, or restore it from a backup"),
    Code.NO_INSTALLATIONS: Kind(_WARNING, "gateway migrate --write-missing writes the file"),
    Code.ROW_WITHOUT_ENTRY: Kind(_WARNING, "install the plugin for the user, or delete the row"),
    Code.ENTRY_WITHOUT_ROW: Kind(_WARNING, f"{_FIX}, and keeps a backup", fixable=True),
    Code.CONTRADICTING_VALUE: Kind(_WARNING, "gateway migrate --prefer database drops it"),
    Code.OLD_FORMAT: Kind(_NOTE, "gateway migrate makes the file minimal"),
    Code.USER_WITHOUT_ROW: Kind(_NOTE),
    Code.DRIFTED_CONTENT: Kind(_ERROR, "publish a new version; a published one never changes"),
    Code.NO_RECORD: Kind(_NOTE, "another program published it: changes to it cannot be detected"),
    Code.NO_ENTRY_FILE: Kind(_WARNING, "its bundle_location names the file; publish it again"),
    Code.UNREADABLE_VERSION: Kind(_ERROR, "the gateway's user must be able to read it"),
    Code.FOREIGN_NAME: Kind(_WARNING, "nothing below it is ever served"),
    Code.TEMPORARY_FILE: Kind(_WARNING, _FIX, fixable=True),
    Code.ABANDONED_STAGING: Kind(_WARNING, _FIX, fixable=True),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing on the site that is not as it should be, and what it is about."""

    code: Code
    severity: Severity
    text: str
    hint: str
    fixable: bool
    fixed: bool = False
    user: str | None = None
    slug: str | None = None
    version: str | None = None
    path: Path | None = None

    @property
    def remains(self) -> bool:
        """Whether it is a problem that was not mended."""
        return self.severity is not Severity.NOTE and not self.fixed

    def mended(self) -> "Finding":
        return replace(self, fixed=True)


def new_finding(
    code: Code,
    text: str,
    *,
    severity: Severity | None = None,
    hint: str | None = None,
    user: str | None = None,
    slug: str | None = None,
    version: object = None,
    path: Path | None = None,
) -> Finding:
    """`severity` and `hint` override what the code usually has."""
    kind = KINDS[code]
    return Finding(
        code,
        severity or kind.severity,
        text,
        kind.hint if hint is None else hint,
        kind.fixable,
        user=user,
        slug=slug,
        version=None if version is None else str(version),
        path=path,
    )
