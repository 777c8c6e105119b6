"""`lint`: all rules over one plugin. Blocking."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.disk.shared_folder import SharedFolder
from gateway.disk.storage import PluginStorage
from gateway.errors import PublishingError
from gateway.lifecycle.publishing import stated_names
from gateway.lint.bundle_rules import bundle_findings
from gateway.lint.contents import Contents, read_contents
from gateway.lint.entry_rules import entry_findings
from gateway.lint.findings import Code, Finding
from gateway.lint.metadata_rules import is_described, metadata_findings
from gateway.lint.site_rules import site_findings
from gateway.names import Slug, Version
from gateway.settings import Settings
from gateway.upkeep.findings import Severity


@dataclass(frozen=True, slots=True)
class LintReport:
    slug: Slug | None
    """None if slug or version cannot be told."""
    version: Version | None
    files: int
    findings: Sequence[Finding]
    """Errors first."""


def lint(
    source: Path,
    *,
    slug: Slug | None = None,
    version: Version | None = None,
    allowed_suffixes: Collection[str],
    shared: SharedFolder | None,
) -> LintReport:
    """What will not work, or not well, if `source` is published: a folder, .zip or .tar.gz.

    `slug` and `version` are as for `publish`. `shared`: what is published, to compare with.

    Raises: PublishingError, if the source cannot be read; OSError.
    """
    contents = read_contents(source)
    names, refusal = _names(source, contents, slug, version)
    findings = list(metadata_findings(contents))
    if refusal is not None:
        findings.append(Finding(Code.INVALID_NAME, refusal))
    scope = _scope(contents, slug, names)
    findings += entry_findings(contents, scope, allowed_suffixes)
    findings += bundle_findings(contents, allowed_suffixes)
    if names is not None and shared is not None:
        findings += site_findings(contents, *names, shared)
    order = list(Severity)
    findings.sort(key=lambda finding: order.index(finding.severity))
    named_slug, named_version = names or (None, None)
    return LintReport(named_slug, named_version, len(contents.sizes), findings)


def lint_for_site(
    settings: Settings, source: Path, *, slug: Slug | None = None, version: Version | None = None
) -> LintReport:
    """`lint`, compared with the versions in the site's `shared/`, if there is one.

    Raises: PublishingError, OSError.
    """
    shared = PluginStorage(settings.plugins_dir).shared
    return lint(
        source,
        slug=slug,
        version=version,
        allowed_suffixes=settings.http.allowed_suffixes,
        shared=shared if shared.path.is_dir() else None,
    )


def _names(
    source: Path, contents: Contents, slug: Slug | None, version: Version | None
) -> tuple[tuple[Slug, Version] | None, str | None]:
    """The names, or why `publish` refuses them; neither if the metadata cannot be read."""
    if contents.unreadable:
        return None, None
    try:
        return stated_names(source, contents.metadata, slug, version), None
    except PublishingError as error:
        return None, str(error).removeprefix(f"{source}: ")


def _scope(contents: Contents, slug: Slug | None, names: tuple[Slug, Version] | None) -> str | None:
    """Where pages look for the container. npm's name of a package is not meant as one."""
    stated = contents.metadata.get("scope")
    if isinstance(stated, str) and stated:
        return stated
    if slug is not None or (names is not None and is_described(contents)):
        return slug or (names[0] if names else None)
    return None
