"""Will a page find the container, and each module in it?"""

from collections.abc import Collection, Iterator

from gateway.bundles.building import fixed_public_path
from gateway.bundles.container import container_name, exposed_modules, imported_entry, is_module
from gateway.lint.contents import Contents
from gateway.lint.findings import Code, Finding, listed
from gateway.names import AssetPath, portable_problem, suffix


def entry_findings(
    contents: Contents, scope: str | None, allowed_suffixes: Collection[str]
) -> Iterator[Finding]:
    """`scope`: the variable in which pages look for the container; None: that is not known."""
    entry = contents.entry
    if entry is None:
        yield Finding(Code.REMOTE_ENTRY, _remote_text(contents), ["plugin.json"])
    elif problem := _missing(contents, entry, allowed_suffixes):
        yield Finding(Code.NO_ENTRY, problem, [entry])
    else:
        yield from _container_findings(contents, entry, scope)
        yield from _module_findings(contents, entry)
        yield from _public_path_findings(entry, contents.entry_text)


def _remote_text(contents: Contents) -> str:
    location = contents.metadata["bundle_location"]
    return (
        f"bundle_location {location!r} is on another host, so the gateway serves no file of it;"
        " make it a path in this folder"
    )


def _missing(contents: Contents, entry: str, allowed_suffixes: Collection[str]) -> str | None:
    if problem := portable_problem(entry):
        return f"bundle_location cannot be this: {problem}"
    if not contents.sizes.get(entry):
        state = "is empty" if entry in contents.sizes else "is missing"
        return f"the entry {state}; build the plugin, or set bundle_location in plugin.json"
    if suffix(AssetPath(entry)).removeprefix(".") not in allowed_suffixes:
        return "the entry has a type that is not in http.allowed_suffixes; choose another name"
    return None


def _container_findings(contents: Contents, entry: str, scope: str | None) -> Iterator[Finding]:
    text = contents.entry_text
    if is_module(text):
        yield Finding(
            Code.MODULE_ENTRY,
            "it is an ES module, and fails in a page that loads entries by a plain script tag, as"
            " BrainDrive's does; build a script (library type var, or varFilename with Vite)",
            [entry],
        )
    name = container_name(text)
    if name is None or scope is None or name == scope:
        return
    stated = contents.metadata.get("scope")
    is_said = f"scope is {scope!r}" if stated else f"it has no scope, so the slug {scope!r} counts"
    yield Finding(
        Code.WRONG_SCOPE,
        f"{is_said}, but {entry} leaves its container in window.{name};"
        f' write "scope": "{name}", or name the container {scope!r} where it is built',
        ["plugin.json"],
    )


def _module_findings(contents: Contents, entry: str) -> Iterator[Finding]:
    text = contents.entry_text
    if (imported := imported_entry(text)) is not None:
        text = contents.text_beside(entry, imported)
    exposed = exposed_modules(text)
    names = _module_names(contents)
    if exposed is None or not names:
        return
    keys = sorted(exposed)
    missing = [name for name in names if f"./{name}" not in exposed]
    for name in missing:
        sentence = f"module {name!r} is not exposed by {entry}, which has {listed(keys)};"
        yield Finding(
            Code.MODULE_NOT_EXPOSED,
            f'{sentence} expose "./{name}" where it is built, or correct the name',
            ["plugin.json"],
        )
    unlisted = [key for key in keys if key.removeprefix("./") not in names]
    if unlisted and not missing:  # else they are probably those that were meant
        sentence = f"it exposes {listed(unlisted)}, which plugin.json does not list in modules;"
        yield Finding(Code.EXPOSED_NOT_LISTED, f"{sentence} list it to have it shown", [entry])


def _module_names(contents: Contents) -> list[str]:
    """Those that are names: what is wrong with others, another rule says."""
    modules = contents.metadata.get("modules")
    objects = [it for it in modules if isinstance(it, dict)] if isinstance(modules, list) else []
    return [it["name"] for it in objects if isinstance(it.get("name"), str) and it["name"]]


def _public_path_findings(entry: str, text: str) -> Iterator[Finding]:
    path = fixed_public_path(text)
    if path is not None:
        yield Finding(
            Code.FIXED_PUBLIC_PATH,
            f"publicPath is {path!r}, so its chunks are not loaded from beside it, and an open page"
            ' may get those of another version; set output.publicPath to "auto"',
            [entry],
        )
