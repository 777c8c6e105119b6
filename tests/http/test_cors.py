"""Cross-origin answers: BrainDrive-Core's and the Fetch standard's CORS protocol."""

import pytest

from gateway.http.cors import CorsPolicy

APP = "https://app.example"
ORIGIN = APP.encode()
LISTED = CorsPolicy([APP, "http://other.example:8080"], any_localhost=False)
DEVELOPMENT = CorsPolicy([], any_localhost=True)
OFF = CorsPolicy([], any_localhost=False)


@pytest.mark.parametrize(
    ("policy", "origin", "expected"),
    [
        pytest.param(LISTED, b"https://app.example", True, id="listed"),
        pytest.param(LISTED, b"http://other.example:8080", True, id="listed with port"),
        pytest.param(LISTED, b"http://app.example", False, id="other scheme"),
        pytest.param(LISTED, b"https://app.example:8443", False, id="other port"),
        pytest.param(LISTED, b"https://app.example.evil.org", False, id="longer host"),
        pytest.param(LISTED, b"https://evil.org/https://app.example", False, id="suffix"),
        pytest.param(LISTED, b"https://app.example/", False, id="with a path"),
        pytest.param(LISTED, b"null", False, id="opaque origin"),
        pytest.param(LISTED, b"*", False, id="star"),
        pytest.param(LISTED, b"", False, id="empty"),
        pytest.param(LISTED, b"http://localhost:3000", False, id="localhost, not development"),
        pytest.param(LISTED, b"\xff", False, id="not ASCII"),
        pytest.param(DEVELOPMENT, b"http://localhost", True, id="localhost"),
        pytest.param(DEVELOPMENT, b"https://localhost:5173", True, id="localhost with port"),
        pytest.param(DEVELOPMENT, b"http://127.0.0.1:3000", True, id="loopback IPv4"),
        pytest.param(DEVELOPMENT, b"http://[::1]:3000", True, id="loopback IPv6"),
        pytest.param(DEVELOPMENT, b"http://localhost.evil.org", False, id="localhost as label"),
        pytest.param(DEVELOPMENT, b"http://127.0.0.10", False, id="longer address"),
        pytest.param(DEVELOPMENT, b"http://127x0y0z1", False, id="dots are dots"),
        pytest.param(DEVELOPMENT, b"http://localhost:80a", False, id="port is digits"),
        pytest.param(DEVELOPMENT, b"http://localhost\n", False, id="newline"),
        pytest.param(DEVELOPMENT, b"http://localhost:" + b"0" * 99, False, id="no such port"),
        pytest.param(DEVELOPMENT, b"ftp://localhost", False, id="scheme is http or https"),
        pytest.param(OFF, b"https://app.example", False, id="nothing listed"),
    ],
)
def test_only_exact_origins_are_allowed(policy: CorsPolicy, origin: bytes, expected: bool) -> None:
    assert policy.allows(origin) is expected


@pytest.mark.parametrize(
    ("policy", "expected"), [(LISTED, True), (DEVELOPMENT, True), (OFF, False)]
)
def test_a_policy_without_origins_is_off(policy: CorsPolicy, expected: bool) -> None:
    assert policy.enabled is expected


def test_an_allowed_origin_is_echoed_with_credentials() -> None:
    fields = dict(LISTED.sent(ORIGIN)[0])
    assert fields[b"access-control-allow-origin"] == ORIGIN
    assert fields[b"access-control-allow-credentials"] == b"true"
    assert fields[b"vary"] == b"Origin"
    assert b"ETag" in fields[b"access-control-expose-headers"]


def test_another_origin_is_told_nothing_else() -> None:
    assert LISTED.sent(b"https://evil.org")[0] == ((b"vary", b"Origin"),)


@pytest.mark.parametrize("origin", [None, ORIGIN, b"https://evil.org"])
def test_every_answer_varies_by_origin(origin: bytes | None) -> None:
    # Fetch standard, "CORS protocol and HTTP caches": also where no origin was sent.
    assert (b"vary", b"Origin") in LISTED.sent(origin)[0]


def test_a_request_without_an_origin_is_told_nothing_else() -> None:
    assert LISTED.sent(None)[0] == ((b"vary", b"Origin"),)


def preflight(
    policy: CorsPolicy = LISTED, origin: bytes = ORIGIN, **fields: str
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, fields and body of the answer to a preflight."""
    headers = {
        b"origin": origin,
        b"access-control-request-method": b"GET",
        **{name.replace("_", "-").encode(): value.encode() for name, value in fields.items()},
    }
    answer = policy.preflight("OPTIONS", headers)
    assert answer is not None
    head, body = answer
    assert isinstance(head.fields, tuple)
    return head.status, dict(head.fields), body


def listed(field: bytes) -> list[str]:
    return field.decode().lower().split(", ")


def test_a_preflight_of_an_allowed_origin_is_granted() -> None:
    status, fields, body = preflight()
    assert (status, body) == (200, b"OK")
    assert fields[b"access-control-allow-origin"] == ORIGIN
    assert fields[b"access-control-allow-credentials"] == b"true"
    assert fields[b"access-control-max-age"] == b"600"
    assert fields[b"vary"] == b"Origin"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_a_preflight_grants_the_methods_of_the_application(method: str) -> None:
    _, fields, _ = preflight(access_control_request_method=method)
    assert method.lower() in listed(fields[b"access-control-allow-methods"])


@pytest.mark.parametrize(
    "name",
    [
        "Accept", "Accept-Language", "Authorization", "Content-Language", "Content-Type",
        "X-Requested-With",
    ],
)  # fmt: skip
def test_a_preflight_grants_the_headers_of_the_application(name: str) -> None:
    _, fields, _ = preflight()
    assert name.lower() in listed(fields[b"access-control-allow-headers"])


@pytest.mark.parametrize(
    ("policy", "granted"), [pytest.param(DEVELOPMENT, True), pytest.param(LISTED, False)]
)
def test_development_grants_whatever_headers_are_asked_for(
    policy: CorsPolicy, granted: bool
) -> None:
    # BrainDrive-Core: "in dev all methods and the asked headers".
    origin = b"http://localhost:3000" if policy is DEVELOPMENT else ORIGIN
    _, fields, _ = preflight(policy, origin, access_control_request_headers="x-experiment")
    assert ("x-experiment" in listed(fields[b"access-control-allow-headers"])) is granted


def test_a_preflight_of_another_origin_is_refused_and_not_kept() -> None:
    status, fields, body = preflight(origin=b"https://evil.org")
    assert (status, body) == (400, b"Disallowed CORS origin")
    assert not any(name.startswith(b"access-control-") for name in fields)
    assert fields[b"vary"] == b"Origin"
    assert fields[b"cache-control"] == b"no-store"


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        pytest.param("OPTIONS", {}, id="plain OPTIONS"),
        pytest.param("OPTIONS", {b"origin": ORIGIN}, id="OPTIONS of a page"),
        pytest.param("OPTIONS", {b"access-control-request-method": b"GET"}, id="no origin"),
        pytest.param(
            "GET", {b"origin": ORIGIN, b"access-control-request-method": b"GET"}, id="GET"
        ),
    ],
)
def test_what_is_no_preflight_is_answered_by_its_route(
    method: str, headers: dict[bytes, bytes]
) -> None:
    assert LISTED.preflight(method, headers) is None


def test_header_fields_are_immutable_so_that_no_middleware_can_edit_them() -> None:
    assert isinstance(LISTED.sent(ORIGIN)[0], tuple)
