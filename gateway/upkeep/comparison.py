"""Compares answers of the gateway with those of the application beside it, and of the proxy in
front of both. Says what is equal, what differs, and whether the difference is expected.

docs/reference/compatibility.md says why the expected differences are there. No code here asks a
server.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from gateway.upkeep.asking import Answer
from gateway.upkeep.check_results import CheckResult

GATEWAY, APPLICATION, PROXY = "gateway", "application", "proxy"
_MAX_TEXT = 200
_MAX_LISTED = 5
_EXPECTED = "expected: docs/reference/compatibility.md"
_ONE_ORIGIN = "gateway proxy-config nginx --application URL prints a configuration that fits"

_DIFFERING_FIELDS = {
    "cache-control": "Cache-Control",
    "etag": "ETag",
    "x-content-type-options": "X-Content-Type-Options",
    "vary": "Vary",
}
"""Fields of a file in which the gateway differs from the application, as documented."""
_APPLICATION_SUFFIXES = {
    "js", "css", "map", "json", "woff", "woff2", "ttf", "eot", "svg", "png", "jpg", "jpeg", "gif",
}  # fmt: skip


class Answers(NamedTuple):
    """What one server answered to the same questions."""

    file: Answer | None
    """A file of a plugin on the public route; None: not asked."""
    refusal: Answer
    """The manifest, without a credential."""
    manifest: Answer | None
    """The manifest, with a user's token; None: there was no token."""
    updates: Answer | None
    """A URL of the application's plugin manager, without a credential; None: not asked."""


# The file


def compare_files(url: str, gateway: Answer, application: Answer) -> Iterator[CheckResult]:
    statuses = (
        f"{url}: the gateway answers {_status(gateway)}, the application {_status(application)}"
    )
    if (gateway.status, application.status) == (200, 200):
        yield from _compare_contents(url, gateway, application)
    elif gateway.status >= 500:
        yield CheckResult.error(APPLICATION, statuses, "the gateway's log says more")
    elif expectation := _expected_statuses(url, gateway, application):
        yield CheckResult.note(APPLICATION, statuses, f"{expectation}; {_EXPECTED}")
    elif gateway.status == 200:
        hint = "expected the application of this site: it has the same database and plugins folder"
        yield CheckResult.error(APPLICATION, statuses, hint)
    elif application.status == 200:
        hint = f"gateway explain --url '{url}' says why"
        yield CheckResult.error(APPLICATION, statuses, hint)
    else:
        yield CheckResult.warning(APPLICATION, statuses, "expected the URL of a file, with --url")


def _compare_contents(url: str, gateway: Answer, application: Answer) -> Iterator[CheckResult]:
    if gateway.digest != application.digest:
        text = (
            f"{url}: the bytes differ: {_size_and_digest(gateway)} from the gateway,"
            f" {_size_and_digest(application)} from the application"
        )
        hint = "expected the same plugins folder: compare storage.root with the application's"
        yield CheckResult.error(APPLICATION, text, hint)
    else:
        text = f"{url}: both answer 200 with the same bytes ({_size_and_digest(gateway)})"
        yield CheckResult.note(APPLICATION, text)
    types = (gateway.content_type, application.content_type)
    if types[0] == types[1]:
        yield CheckResult.note(APPLICATION, f"both say that it is {types[0]}")
    else:
        text = f"it is {types[0] or 'of no type'} for the gateway, {types[1]} for the application"
        is_map = types == ("application/json", "text/plain;charset=utf-8")
        if is_map:
            yield CheckResult.note(APPLICATION, text, _EXPECTED)
        else:
            yield CheckResult.warning(APPLICATION, text, "browsers may treat it differently")
    if differing := _differing_fields(gateway, application):
        yield CheckResult.note(
            APPLICATION, f"fields that differ, the gateway's first: {differing}", _EXPECTED
        )


def _differing_fields(gateway: Answer, application: Answer) -> str:
    pairs = {
        name: (gateway.fields.get(field), application.fields.get(field))
        for field, name in _DIFFERING_FIELDS.items()
    }
    return "; ".join(
        f"{name}: {_short(ours or 'none')} / {_short(theirs or 'none')}"
        for name, (ours, theirs) in pairs.items()
        if ours != theirs
    )


def _expected_statuses(url: str, gateway: Answer, application: Answer) -> str:
    """Why these statuses differ, if docs/reference/compatibility.md says so; otherwise empty."""
    path = url.partition("?")[0].partition("/plugins/")[2].partition("/")[2]
    is_found = gateway.status == 200 and application.status in (403, 404)
    if path.startswith("@") and application.status == 404:
        return "the application knows no pinned URLs"
    if is_found and path.rpartition(".")[2].lower() not in _APPLICATION_SUFFIXES:
        return "the application does not serve this type of file"
    if is_found and path.startswith("modules/"):
        return "the application never serves this folder"
    if gateway.status == 409 and application.status == 200:
        return "users have different versions, and the application answers with the first user's"
    return ""


# The manifest


def compare_refusals(gateway: Answer, application: Answer) -> CheckResult:
    """Of the manifest, without a credential."""
    if _is_refusal_of_gateway(application):
        return CheckResult.error(APPLICATION, "a gateway answers there, not the application")
    if application.status != 401:
        text = f"the application answers {_status(application)} to a manifest without a token"
        hint = "expected 401: the URL of the application, and its API below http.api_prefix"
        return CheckResult.error(APPLICATION, text, hint)
    if gateway.status != 401:
        text = f"the gateway answers {_status(gateway)} to a manifest without a token"
        hint = "expected 401: identity.chain says how users are known"
        return CheckResult.error(APPLICATION, text, hint)
    return CheckResult.note(APPLICATION, "both refuse a manifest without a token: 401")


def compare_origins(origin: str, gateway: Answer, application: Answer) -> CheckResult:
    """Whether pages of this origin may read the answers, which were asked for with it."""
    ours, theirs = (
        answer.fields.get("access-control-allow-origin") in (origin, "*")
        for answer in (gateway, application)
    )
    if ours and theirs:
        return CheckResult.note(APPLICATION, f"both let pages of {origin} read their answers")
    if theirs:
        text = f"only the application lets pages of {origin} read its answers, not the gateway"
        return CheckResult.error(APPLICATION, text, f'expected "{origin}" in http.cors_origins')
    text = f"the application does not let pages of {origin} read its answers"
    return CheckResult.warning(APPLICATION, text, "expected it in the application's CORS_ORIGINS")


def compare_manifests(gateway: Answer, application: Answer) -> CheckResult:
    """With a user's token."""
    if (gateway.status, application.status) != (200, 200):
        return _refused_manifest(gateway, application)
    ours, theirs = _versions(gateway), _versions(application)
    if ours is None or theirs is None:
        who = "gateway" if ours is None else "application"
        return CheckResult.error(APPLICATION, f"the manifest of the {who} is no object of plugins")
    if ours == theirs == {}:
        text = "both manifests have no plugins: nothing is compared"
        return CheckResult.warning(APPLICATION, text, "gateway list shows which users have some")
    if ours == theirs:
        text = f"both manifests have the same plugins at the same versions: {_listed(ours)}"
        return CheckResult.note(APPLICATION, text)
    missing = {slug: version for slug, version in theirs.items() if slug not in ours}
    if missing:
        text = f"the gateway's manifest lacks plugins of the application's: {_listed(missing)}"
        hint = "expected only for plugins that the user's installed_plugins.json does not have"
        return CheckResult.warning(APPLICATION, text, hint)
    different = {slug: version for slug, version in ours.items() if theirs.get(slug) != version}
    text = f"only the gateway's manifest has these plugins or versions: {_listed(different)}"
    hint = "expected the same database: compare database.url with the application's"
    return CheckResult.error(APPLICATION, text, hint)


def _refused_manifest(gateway: Answer, application: Answer) -> CheckResult:
    text = (
        f"to the token, the gateway answers {_status(gateway)},"
        f" the application {_status(application)}"
    )
    if 401 in (gateway.status, application.status):
        if gateway.status == application.status:
            hint = "expected a token of the application that has not expired"
        else:
            hint = "expected identity.jwt.secret to be the application's SECRET_KEY"
        return CheckResult.error(APPLICATION, text, hint)
    return CheckResult.error(APPLICATION, text, "expected 200 from both")


def _versions(manifest: Answer) -> dict[str, Any] | None:
    """Version by slug; None if it is no manifest."""
    content = _object(manifest)
    if content is None or not all(isinstance(plugin, dict) for plugin in content.values()):
        return None
    return {slug: plugin.get("version") for slug, plugin in content.items()}


# Through the proxy


def judge_proxy(
    proxy: Answers, gateway: Answers, application: Answers, updates_url: str
) -> Iterator[CheckResult]:
    """Whether the proxy gives each server what is its own."""
    if proxy.file is not None and gateway.file is not None:
        yield _judge_own("a plugin file", proxy.file, gateway.file, application.file, _same_file)
    yield _judge_own(
        "the manifest", proxy.refusal, gateway.refusal, application.refusal, _same_refusal
    )
    if proxy.updates is not None and application.updates is not None:
        yield _judge_updates(updates_url, proxy.updates, application.updates)


def _judge_own(
    what: str,
    proxy: Answer,
    gateway: Answer,
    application: Answer | None,
    is_same: Callable[[Answer, Answer], bool],
) -> CheckResult:
    if is_same(proxy, gateway):
        return CheckResult.note(PROXY, f"the gateway answers a request for {what}, as it should")
    if application is not None and is_same(proxy, application):
        text = f"the application answers a request for {what}, not the gateway"
        return CheckResult.error(PROXY, text, _ONE_ORIGIN)
    text = (
        f"{what} is answered with {_status(proxy)}, not with {_status(gateway)} as by the gateway"
    )
    return CheckResult.error(PROXY, text, _ONE_ORIGIN)


def _same_file(one: Answer, other: Answer) -> bool:
    """Whether one server made both. The application sends no Cache-Control."""
    made = ("cache-control", "x-content-type-options")
    fields = [[answer.fields.get(name) for name in made] for answer in (one, other)]
    return (one.status, one.digest) == (other.status, other.digest) and fields[0] == fields[1]


def _same_refusal(one: Answer, other: Answer) -> bool:
    return (one.status, one.body) == (other.status, other.body)


def _judge_updates(url: str, proxy: Answer, application: Answer) -> CheckResult:
    if _same_refusal(proxy, application):
        text = f"the application answers {url} itself, as it should"
        return CheckResult.note(PROXY, text)
    if _is_refusal_of_gateway(proxy):
        text = f"the gateway answers {url}, and so the application's plugin manager cannot work"
    else:
        text = f"{url} is answered with {_status(proxy)}, not with {_status(application)}"
        text += " as by the application"
    return CheckResult.error(PROXY, text, _ONE_ORIGIN)


def _is_refusal_of_gateway(answer: Answer) -> bool:
    return {"code", "detail"} <= (_object(answer) or {}).keys()


# Words


def _object(answer: Answer) -> Mapping[str, Any] | None:
    """The object that the answer is in JSON; None if it is not."""
    try:
        content = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _status(answer: Answer) -> str:
    """The status, and the reason that the server gives."""
    detail = (_object(answer) or {}).get("detail") if answer.status >= 400 else None
    location = answer.fields.get("location") if 300 <= answer.status < 400 else None
    reason = detail if isinstance(detail, str) else location
    return f"{answer.status} ({_short(reason)})" if reason else str(answer.status)


def _size_and_digest(answer: Answer) -> str:
    return f"{len(answer.body)} bytes, SHA-256 {answer.digest[:16]}"


def _listed(versions: Mapping[str, Any]) -> str:
    listed = [f"{slug} {version}" for slug, version in sorted(versions.items())]
    more = f" and {len(listed) - _MAX_LISTED} more" if len(listed) > _MAX_LISTED else ""
    return _short(", ".join(listed[:_MAX_LISTED]) or "none") + more


def _short(text: str) -> str:
    """Servers may send any text, and of any length."""
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"
