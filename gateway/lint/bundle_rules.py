"""Is the bundle built for users, and are all its files needed and served?"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping

from gateway.bundles.building import (
    evaluates_its_modules,
    fixed_base,
    fixed_public_path,
    is_development_build,
    local_urls,
)
from gateway.bundles.container import imported_entry
from gateway.bundles.mf_manifest import MF_MANIFEST, scripts_of_modules
from gateway.lint.contents import MAX_FILE_BYTES, MAX_TEXT_BYTES, Contents, folder_of
from gateway.lint.findings import Code, Finding, listed
from gateway.names import AssetPath, suffix

_SCRIPTS = (".js", ".mjs")
_HASH = re.compile(
    r"(?:^|[.\-_~])(?=[0-9a-f]*\d)[0-9a-f]{6,}(?:[.\-_~]|$)"  # webpack's
    r"|[.\-](?=[\w-]*[0-9A-Z])[\w-]{8}$"  # Vite's
)
# What tools write beside a bundle, and no browser loads from it.
_BESIDE = (".map", ".html", ".txt", ".md", ".ts", ".json", ".zip")
# The question for each file is asked of every text.
_MOST_FILES = 300


def bundle_findings(contents: Contents, allowed_suffixes: Collection[str]) -> Iterator[Finding]:
    """Empty if the bundle is on another host, or missing."""
    if contents.entry not in contents.sizes:
        return
    scripts = {name: text for name, text in contents.texts.items() if name.endswith(_SCRIPTS)}
    yield from _building_findings(scripts)
    yield from _local_url_findings(contents, scripts)
    yield from _unserved(contents, allowed_suffixes)
    if folder_of(contents.entry or ""):  # at the top, sources would count as the bundle's files
        yield from _unhashed(contents, scripts)
        yield from _unreferenced(contents)
    yield from _mf_manifest_findings(contents)
    if contents.partly_read:
        megabytes = f"{MAX_FILE_BYTES >> 20} MiB of a file and {MAX_TEXT_BYTES >> 20} MiB in all"
        text = f"not all of it was looked at: at most {megabytes} are read"
        yield Finding(Code.PARTLY_READ, text, contents.partly_read)


def _building_findings(scripts: Mapping[str, str]) -> Iterator[Finding]:
    if names := _matching(scripts, is_development_build):
        text = 'a development build, larger and slower than needed; build it with mode "production"'
        yield Finding(Code.DEVELOPMENT_BUILD, text, names)
    if names := _matching(scripts, evaluates_its_modules):
        text = (
            "its modules are texts in eval(), which a Content-Security-Policy refuses;"
            ' set devtool to "source-map"'
        )
        yield Finding(Code.EVAL_SOURCE_MAP, text, names)
    for name in _matching(scripts, lambda text: fixed_base(text) is not None)[:1]:
        text = (
            f"base is {fixed_base(scripts[name])!r}, so styles and preloaded chunks are not loaded"
            ' from beside it; set base to "./" in the configuration of Vite'
        )
        yield Finding(Code.FIXED_PUBLIC_PATH, text, [name])


def _mf_manifest_findings(contents: Contents) -> Iterator[Finding]:
    """The gateway takes from it what pages preload (serving/preloading.py)."""
    folder = folder_of(contents.entry or "")
    text = contents.texts.get(folder + MF_MANIFEST)
    if text is None:
        return
    scripts = scripts_of_modules(text.encode())
    if scripts is None:
        problem = "it is no manifest of Module Federation"
    elif missing := [name for name in scripts if folder + name not in contents.sizes]:
        problem = f"it names {listed(missing)}, which is not there"
    else:
        return
    sentence = f"{problem}, so pages preload less than they could; build the plugin again"
    yield Finding(Code.UNUSABLE_MF_MANIFEST, sentence, [folder + MF_MANIFEST])


def _matching(scripts: Mapping[str, str], predicate: Callable[[str], bool]) -> list[str]:
    return [name for name, text in scripts.items() if predicate(text)]


def _local_url_findings(contents: Contents, scripts: Mapping[str, str]) -> Iterator[Finding]:
    public_path = fixed_public_path(contents.entry_text) or ""
    urls_by_file = {
        name: [url for url in local_urls(text) if not public_path.startswith(url)]
        for name, text in scripts.items()
    }
    urls = sorted({url for urls in urls_by_file.values() for url in urls})
    if urls:
        names = [name for name in scripts if urls_by_file[name]]
        sentence = f"{listed(urls)} is another machine for each user;"
        yield Finding(Code.LOCAL_URL, f"{sentence} make sure that it is a default only", names)


def _unhashed(contents: Contents, scripts: Mapping[str, str]) -> Iterator[Finding]:
    imported = imported_entry(contents.entry_text)
    entries = (contents.entry, folder_of(contents.entry or "") + (imported or ""))
    names = [
        name
        for name in scripts
        if name not in entries and not _HASH.search(name.rpartition("/")[2].rpartition(".")[0])
    ]
    if names:
        text = (
            "no hash of the content is in the name, so without a pin in its URL a browser asks for"
            " it each time; pinned URLs, which manifests give, are kept"
            ' (webpack: chunkFilename "[name].[contenthash].js")'
        )
        yield Finding(Code.UNHASHED_CHUNKS, text, names)


def _unserved(contents: Contents, allowed_suffixes: Collection[str]) -> Iterator[Finding]:
    """Only of files that the bundle names: others may be for people."""
    by_type: dict[str, list[str]] = {}
    for name in [name for name in _bundled(contents) if not name.endswith(_BESIDE)][:_MOST_FILES]:
        ending, base = suffix(AssetPath(name)), name.rpartition("/")[2]
        is_refused = ending and ending.removeprefix(".") not in allowed_suffixes
        if is_refused and any(base in text for text in contents.texts.values()):
            by_type.setdefault(ending, []).append(name)
    for ending, names in by_type.items():
        text = (
            f"the bundle names it, but it is not served: {ending} is not in http.allowed_suffixes;"
            " add it there, or use another type"
        )
        yield Finding(Code.NOT_SERVED, text, names)


def _unreferenced(contents: Contents) -> Iterator[Finding]:
    names = [
        name for name in _bundled(contents) if name != contents.entry and not name.endswith(_BESIDE)
    ]
    if contents.partly_read or len(names) > _MOST_FILES:
        return
    stale = [name for name in names if not _is_referenced(name, contents.texts)]
    if stale:
        text = "no file of the bundle names it; if an earlier build left it, let the bundler clean"
        yield Finding(Code.UNREFERENCED_FILES, f"{text} its folder", stale)


def _is_referenced(name: str, texts: Mapping[str, str]) -> bool:
    """Whether another text has the file's name, or all its parts: a runtime puts names together
    from chunk, hash and suffix.
    """
    others = [text for other, text in texts.items() if other != name]

    def occurs(part: str) -> bool:
        return any(part in text for text in others)

    base = name.rpartition("/")[2]
    parts = re.split(r"[.\-_~]+", base.rpartition(".")[0])
    return occurs(base) or all(occurs(part) for part in parts if part)


def _bundled(contents: Contents) -> Iterator[str]:
    """The files in the folder of the entry and below."""
    folder = folder_of(contents.entry or "")
    return (name for name in contents.sizes if name.startswith(folder))
