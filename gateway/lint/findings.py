"""What `gateway lint` can find: every code and its severity.

docs/reference/lint.md explains each. Programs read the codes, so a code never changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.upkeep.findings import Severity


class Code(StrEnum):
    UNPUBLISHABLE = "unpublishable"
    INVALID_METADATA = "invalid_metadata"
    INVALID_NAME = "invalid_name"
    NO_ENTRY = "no_entry"
    WRONG_SCOPE = "wrong_scope"
    MODULE_NOT_EXPOSED = "module_not_exposed"
    NO_PLUGIN_JSON = "no_plugin_json"
    NO_MODULES = "no_modules"
    MISSPELLED_KEY = "misspelled_key"
    VERSION_MISMATCH = "version_mismatch"
    MODULE_ENTRY = "module_entry"
    REMOTE_ENTRY = "remote_entry"
    FIXED_PUBLIC_PATH = "fixed_public_path"
    DEVELOPMENT_BUILD = "development_build"
    EVAL_SOURCE_MAP = "eval_source_map"
    NOT_SERVED = "not_served"
    SINGLETON_CONFLICT = "singleton_conflict"
    GROWN = "grown"
    EXPOSED_NOT_LISTED = "exposed_not_listed"
    LOCAL_URL = "local_url"
    UNHASHED_CHUNKS = "unhashed_chunks"
    UNREFERENCED_FILES = "unreferenced_files"
    UNUSABLE_MF_MANIFEST = "unusable_mf_manifest"
    LIFECYCLE_MANAGER = "lifecycle_manager"
    PARTLY_READ = "partly_read"


_ERROR, _WARNING, _NOTE = Severity

SEVERITIES: Mapping[Code, Severity] = {
    Code.UNPUBLISHABLE: _ERROR,
    Code.INVALID_METADATA: _ERROR,
    Code.INVALID_NAME: _ERROR,
    Code.NO_ENTRY: _ERROR,
    Code.WRONG_SCOPE: _ERROR,
    Code.MODULE_NOT_EXPOSED: _ERROR,
    Code.NO_PLUGIN_JSON: _WARNING,
    Code.NO_MODULES: _WARNING,
    Code.MISSPELLED_KEY: _WARNING,
    Code.VERSION_MISMATCH: _WARNING,
    Code.MODULE_ENTRY: _WARNING,
    Code.REMOTE_ENTRY: _WARNING,
    Code.FIXED_PUBLIC_PATH: _WARNING,
    Code.DEVELOPMENT_BUILD: _WARNING,
    Code.EVAL_SOURCE_MAP: _WARNING,
    Code.NOT_SERVED: _WARNING,
    Code.SINGLETON_CONFLICT: _WARNING,
    Code.GROWN: _WARNING,
    Code.EXPOSED_NOT_LISTED: _NOTE,
    Code.LOCAL_URL: _NOTE,
    Code.UNHASHED_CHUNKS: _NOTE,
    Code.UNREFERENCED_FILES: _NOTE,
    Code.UNUSABLE_MF_MANIFEST: _NOTE,
    Code.LIFECYCLE_MANAGER: _NOTE,
    Code.PARTLY_READ: _NOTE,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about the plugin: which files, what is wrong with them, and what to do."""

    code: Code
    text: str
    files: Sequence[str] = ()
    """Paths in the plugin's folder; none: it is about the plugin as a whole."""

    @property
    def severity(self) -> Severity:
        return SEVERITIES[self.code]

    @property
    def sentence(self) -> str:
        return f"{listed(self.files)}: {self.text}" if self.files else self.text


_MOST_NAMES = 3


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
