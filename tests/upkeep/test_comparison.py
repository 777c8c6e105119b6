"""What is said of two answers to one question."""

import json
from collections.abc import Mapping

import pytest

from gateway.upkeep.asking import Answer
from gateway.upkeep.check_results import CheckResult
from gateway.upkeep.comparison import (
    Answers,
    compare_files,
    compare_manifests,
    compare_origins,
    compare_refusals,
    judge_proxy,
)
from gateway.upkeep.findings import Severity

NOTE, WARNING, ERROR = Severity.NOTE, Severity.WARNING, Severity.ERROR
FILE = "/api/v1/public/plugins/ada_Review/dist/remoteEntry.js"
UPDATES = "/api/v1/plugins/updates/available"
JS = "text/javascript; charset=utf-8"


def answer(status: int, body: bytes | object = b"", **fields: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(
        status, {name.replace("_", "-"): value for name, value in fields.items()}, content
    )


def refusal(status: int, code: str = "") -> Answer:
    """Of the gateway if it has a code, of the application otherwise."""
    return answer(status, {"detail": "No", **({"code": code} if code else {})})


def files(gateway: Answer, application: Answer, url: str = FILE) -> list[CheckResult]:
    return list(compare_files(url, gateway, application))


def worst(results: list[CheckResult]) -> Severity:
    return min((result.severity for result in results), key=list(Severity).index)


# Files


def test_the_same_file_is_in_order_and_documented_differences_are_named() -> None:
    ours = answer(200, b"x", content_type=JS, cache_control="no-cache", etag='"content"')
    theirs = answer(200, b"x", content_type="text/javascript;charset=UTF-8", etag='"time"')
    results = files(ours, theirs)
    assert worst(results) is NOTE
    assert "same bytes (1 bytes, SHA-256 2d711642b726b044)" in results[0].text
    assert "text/javascript;charset=utf-8" in results[1].text
    assert 'Cache-Control: no-cache / none; ETag: "content" / "time"' in results[2].text
    assert "docs/reference/compatibility.md" in results[2].hint


@pytest.mark.parametrize(
    ("ours", "theirs", "severity"),
    [
        (("application/json", "text/plain; charset=utf-8"), b"{}", NOTE),  # a .map
        (("application/wasm", "application/octet-stream"), b"x", WARNING),
        (("", JS), b"x", WARNING),
    ],
)
def test_another_content_type_is_expected_for_source_maps_alone(
    ours: tuple[str, str], theirs: bytes, severity: Severity
) -> None:
    one, other = ours
    results = files(answer(200, theirs, content_type=one), answer(200, theirs, content_type=other))
    assert worst(results) is severity


def test_other_bytes_are_an_error() -> None:
    results = files(answer(200, b"new", content_type=JS), answer(200, b"old", content_type=JS))
    assert worst(results) is ERROR
    assert "the bytes differ: 3 bytes, SHA-256 " in results[0].text


@pytest.mark.parametrize(
    ("gateway", "application", "path", "severity", "reason"),
    [
        (200, 404, "dist/x.js", ERROR, "the application of this site"),
        (404, 200, "dist/x.js", ERROR, "gateway explain --url"),
        (503, 200, "dist/x.js", ERROR, "log"),
        (503, 500, "dist/x.js", ERROR, "log"),
        (404, 404, "dist/x.js", WARNING, "--url"),
        (200, 403, "dist/x.wasm", NOTE, "type of file"),
        (200, 403, "dist/x.js", ERROR, "the application of this site"),
        (200, 404, "modules/x.js", NOTE, "this folder"),
        (200, 404, "@1.0.0~0123456789abcdef/dist/x.js", NOTE, "pinned"),
        (410, 404, "@1.0.0~0123456789abcdef/dist/x.js", NOTE, "pinned"),
        (409, 200, "dist/x.js", NOTE, "the first user's"),
        (200, 500, "dist/x.js", ERROR, "the application of this site"),
        (200, 307, "dist/x.js", ERROR, "the application of this site"),
    ],
)
def test_another_status_is_expected_where_the_documentation_says_so(
    gateway: int, application: int, path: str, severity: Severity, reason: str
) -> None:
    url = f"/api/v1/public/plugins/ada_Review/{path}"
    (result,) = files(refusal(gateway, "some_code"), refusal(application), url)
    assert (result.severity, result.subject) == (severity, "application")
    assert reason in result.hint
    for status in (gateway, application):
        assert str(status) in result.text


# The manifest


@pytest.mark.parametrize(
    ("gateway", "application", "severity", "text"),
    [
        (refusal(401, "not_authenticated"), refusal(401), NOTE, "both refuse"),
        (refusal(401, "not_authenticated"), refusal(404), ERROR, "404 (No)"),
        (answer(200, {}), refusal(401), ERROR, "the gateway answers 200"),
        (refusal(401, "x"), refusal(401, "not_authenticated"), ERROR, "a gateway answers there"),
    ],
)
def test_both_must_refuse_a_manifest_without_a_token(
    gateway: Answer, application: Answer, severity: Severity, text: str
) -> None:
    result = compare_refusals(gateway, application)
    assert result.severity is severity
    assert text in result.text


def manifest(**versions: str) -> Answer:
    return answer(200, {slug: {"version": version} for slug, version in versions.items()})


@pytest.mark.parametrize(
    ("gateway", "application", "severity", "said"),
    [
        (manifest(Review="1.0.0"), manifest(Review="1.0.0"), NOTE, "Review 1.0.0"),
        (manifest(), manifest(), WARNING, "gateway list"),
        (manifest(), manifest(Review="1.0.0"), WARNING, "installed_plugins.json"),
        (manifest(Review="1.0.0"), manifest(), ERROR, "database.url"),
        (manifest(Review="1.0.0"), manifest(Review="1.0.1"), ERROR, "database.url"),
        (refusal(401, "invalid_token"), manifest(), ERROR, "SECRET_KEY"),
        (manifest(), refusal(401), ERROR, "SECRET_KEY"),
        (refusal(401, "invalid_token"), refusal(401), ERROR, "expired"),
        (refusal(503, "source_unavailable"), manifest(), ERROR, "expected 200"),
        (answer(200, []), manifest(), ERROR, "manifest of the gateway"),
        (manifest(), answer(200, b"<html>"), ERROR, "manifest of the application"),
        (manifest(), answer(200, {"Review": 1}), ERROR, "manifest of the application"),
        (manifest(), answer(200, b"[" * 100_000), ERROR, "manifest of the application"),
    ],
)
def test_both_must_list_the_same_plugins_at_the_same_versions(
    gateway: Answer, application: Answer, severity: Severity, said: str
) -> None:
    result = compare_manifests(gateway, application)
    assert result.severity is severity
    assert said in f"{result.text} {result.hint}"


def test_a_line_about_many_plugins_stays_short() -> None:
    many = {f"Plugin{number:03}": "x" * 1000 for number in range(100)}
    result = compare_manifests(manifest(), manifest(**many))
    assert len(result.text) < 400
    assert "and 95 more" in result.text


@pytest.mark.parametrize(
    ("gateway", "application", "severity"),
    [("https://app.example", "https://app.example", NOTE),
     ("", "https://app.example", ERROR),
     ("https://other.example", "https://app.example", ERROR),
     ("https://app.example", "", WARNING),
     ("", "", WARNING)],
)  # fmt: skip
def test_pages_of_another_origin_must_be_able_to_read_both(
    gateway: str, application: str, severity: Severity
) -> None:
    def allowing(origin: str) -> Answer:
        return answer(401, access_control_allow_origin=origin)

    result = compare_origins("https://app.example", allowing(gateway), allowing(application))
    assert result.severity is severity


# The proxy

GATEWAYS = Answers(
    answer(200, b"x", cache_control="no-cache", x_content_type_options="nosniff"),
    refusal(401, "not_authenticated"),
    None,
    None,
)
APPLICATIONS = Answers(answer(200, b"x"), refusal(401), None, refusal(401))
RIGHT = Answers(GATEWAYS.file, GATEWAYS.refusal, None, APPLICATIONS.updates)


@pytest.mark.parametrize(
    ("proxy", "severities"),
    [
        (RIGHT, [NOTE, NOTE, NOTE]),
        (APPLICATIONS, [ERROR, ERROR, NOTE]),
        (RIGHT._replace(updates=GATEWAYS.refusal), [NOTE, NOTE, ERROR]),
        (RIGHT._replace(updates=answer(502)), [NOTE, NOTE, ERROR]),
        (RIGHT._replace(file=answer(200, b"another")), [ERROR, NOTE, NOTE]),
        (RIGHT._replace(file=answer(502)), [ERROR, NOTE, NOTE]),
        (RIGHT._replace(refusal=answer(502)), [NOTE, ERROR, NOTE]),
        (Answers(*[answer(301, location="https://x.example/")] * 4), [ERROR, ERROR, ERROR]),
    ],
)
def test_the_proxy_must_give_each_what_is_its_own(
    proxy: Answers, severities: list[Severity]
) -> None:
    fields: Mapping[str, Answers] = {
        "proxy": proxy, "gateway": GATEWAYS, "application": APPLICATIONS
    }  # fmt: skip
    results = list(judge_proxy(**fields, updates_url=UPDATES))
    assert [result.severity for result in results] == severities
    assert {result.subject for result in results} == {"proxy"}
    for result in results:
        assert ("proxy-config" in result.hint) == (result.severity is ERROR)


def test_it_is_said_who_answers_what_is_not_theirs() -> None:
    wrong = Answers(APPLICATIONS.file, APPLICATIONS.refusal, None, GATEWAYS.refusal)
    results = judge_proxy(wrong, GATEWAYS, APPLICATIONS, UPDATES)
    file, refused, updates = (result.text for result in results)
    assert file == "the application answers a request for a plugin file, not the gateway"
    assert refused == "the application answers a request for the manifest, not the gateway"
    assert updates.startswith(f"the gateway answers {UPDATES}, ")
