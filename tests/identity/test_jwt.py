"""Whatever a token holds: a user, or a refusal; never a fault, never a second spelling."""

import base64
import contextlib
import hashlib
import hmac
import json
import time
from typing import Any
from uuid import UUID

import jwt
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.caching.basis import AT_HAND
from gateway.errors import InvalidToken
from gateway.identity import jwt as jwt_module
from gateway.identity.jwt import JwtIdentity
from gateway.names import parse_user_id
from gateway.settings import Settings, load_settings
from tests.support.site import ADA, SECRET, token

SETTINGS = {"GATEWAY__IDENTITY__JWT__SECRET": SECRET}
PLAIN = load_settings(environ=SETTINGS)
STRICT = load_settings(
    environ={
        **SETTINGS,
        "GATEWAY__IDENTITY__JWT__AUDIENCE": "here",
        "GATEWAY__IDENTITY__JWT__ISSUER": "there",
    }
)
HEADER = b'{"alg":"HS256","typ":"JWT"}'
FAR = 4_000_000_000
DEEP = b"[" * 2000 + b"]" * 2000


def identify(field: bytes, identity: JwtIdentity | None = None) -> str | None:
    """Raises: InvalidToken."""
    source, headers = identity or JwtIdentity(PLAIN), {b"authorization": field}
    return source.identify(AT_HAND, {"type": "http"}, headers)


def sealed(header: bytes, claims: bytes) -> bytes:
    """Signed by who holds the secret, whatever the parts are."""
    signed = b".".join([_encoded(header), _encoded(claims)])
    return signed + b"." + _encoded(hmac.digest(SECRET.encode(), signed, hashlib.sha256))


def _encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def claims(**values: Any) -> bytes:
    return json.dumps({"sub": ADA, "exp": FAR, **values}).encode()


def with_raw(name: str, value: bytes) -> bytes:
    """Claims with a value that Python's JSON would not write."""
    return b'{"sub":"%s","%s":%s}' % (ADA.encode(), name.encode(), value)


REFUSED = {
    "exp of 400 digits": sealed(HEADER, with_raw("exp", b"9" * 400)),
    "exp of 5,000 digits": sealed(HEADER, with_raw("exp", b"9" * 5000)),
    "a negative exp of 400 digits": sealed(HEADER, with_raw("exp", b"-" + b"9" * 400)),
    "an exp beyond a float": sealed(HEADER, with_raw("exp", b"1e999")),
    "an exp that is no number": sealed(HEADER, with_raw("exp", b"NaN")),
    "a negative exp": sealed(HEADER, with_raw("exp", b"-1")),
    "a huge iat": sealed(HEADER, with_raw("iat", b"9" * 400)),
    "a huge nbf": sealed(HEADER, with_raw("nbf", b"9" * 400)),
    "an iat beyond a float": sealed(HEADER, with_raw("iat", b"1e999")),
    "an nbf that is no number": sealed(HEADER, with_raw("nbf", b"NaN")),
    "a header that is nothing but nested": sealed(DEEP, claims()),
    "a kid of a megabyte": sealed(b'{"alg":"HS256","kid":"' + b"k" * (1 << 20) + b'"}', claims()),
    "claims of a megabyte": sealed(HEADER, claims(x="x" * (1 << 20))),
    "other bytes in the signature": sealed(HEADER, claims()).replace(b".", b"!.")[:-1] + b"!!!!A",
    "a line break in the signature": sealed(HEADER, claims())[:-3] + b"\r\n" + b"AAA",
    "padding": sealed(HEADER, claims()) + b"=",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_strange_token_is_refused(name: str) -> None:
    with pytest.raises(InvalidToken):
        identify(b"Bearer " + REFUSED[name])


@pytest.mark.parametrize(
    "nested",
    [
        sealed(HEADER, with_raw("x", DEEP)),
        sealed(b'{"alg":"HS256","x":' + DEEP + b"}", claims()),
    ],
    ids=["claims", "header"],
)
def test_a_token_nested_deeply_is_refused_or_read_and_no_error_of_ours(nested: bytes) -> None:
    """Python 3.11 gives up reading JSON before a depth of 1,000, and 3.13 before 10,000."""
    with contextlib.suppress(InvalidToken):
        assert identify(b"Bearer " + nested) == ADA


def test_a_signature_has_no_second_spelling_with_other_characters() -> None:
    """Some versions of Python's base64 pass over characters that base64url does not have."""
    valid = token(ADA).encode()
    assert identify(b"Bearer " + valid) == ADA
    for junk in (b"!!!!", b"....", b"    ", b"=", b"\xff\xff\xff\xff"):
        with pytest.raises(InvalidToken):
            identify(b"Bearer " + valid[:-2] + junk + valid[-2:])


def test_a_token_is_verified_once_however_it_is_spelled() -> None:
    identity = JwtIdentity(PLAIN)
    for spaces in range(1, 50):
        assert identify(b"Bearer" + b" " * spaces + token(ADA, iat=1, exp=FAR).encode(), identity)
    assert len(identity._remembered) == 1


@pytest.mark.parametrize("part", [0, 1, 2])
def test_no_part_has_a_second_spelling_in_the_bits_that_base64url_does_not_use(part: int) -> None:
    """Not even if who holds the secret signs it: RFC 4648 §3.5."""
    parts = sealed(b'{"alg":"HS256" }', claims(x="")).split(b".")
    assert [len(each) % 4 for each in parts] == [2, 3, 3]
    spellings = []
    for last in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
        altered = [*parts]
        altered[part] = parts[part][:-1] + bytes([last])
        if base64.urlsafe_b64decode(altered[part] + b"==") == base64.urlsafe_b64decode(
            parts[part] + b"=="
        ):
            if part < 2:
                altered[2] = _encoded(
                    hmac.digest(SECRET.encode(), b".".join(altered[:2]), "sha256")
                )
            spellings.append(b".".join(altered))
    assert len(spellings) == (16 if part == 0 else 4)
    accepted = 0
    for spelling in spellings:
        with contextlib.suppress(InvalidToken):
            accepted += identify(b"Bearer " + spelling) == ADA
    assert accepted == 1


def test_what_is_remembered_is_bounded_and_goes_when_it_is_believed_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.time()
    monkeypatch.setattr(jwt_module, "_MAX_REMEMBERED", 6)
    identity = JwtIdentity(PLAIN, clock=lambda: now)

    def verify(number: int) -> int:
        """The number of tokens that are remembered afterwards."""
        assert identify(b"Bearer " + token(ADA, jti=str(number), iat=1, exp=FAR).encode(), identity)
        return len(identity._remembered)

    assert [verify(number) for number in range(8)] == [1, 2, 3, 4, 5, 6, 6, 6]
    now += 299
    assert [verify(number) for number in (7, 8)] == [6, 6]
    now += 1
    assert [verify(number) for number in (3, 10, 11, 11)] == [4, 3, 4, 4]


NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), FAR])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=9) | st.just(ADA),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
ODD_CLAIMS = st.dictionaries(
    st.sampled_from(["sub", "exp", "iat", "nbf", "aud", "iss", "jti", "crit"]), JSON, max_size=3
)
GOOD_CLAIMS = {"sub": str(UUID(ADA)), "exp": FAR, "iat": 1, "aud": "here", "iss": "there"}
CLAIMS = ODD_CLAIMS | ODD_CLAIMS.map(lambda odd: {**GOOD_CLAIMS, **odd})
HEADERS = st.dictionaries(
    st.sampled_from(["typ", "kid", "crit", "b64", "cty", "jwk", "x5c", "zip", "enc"]), JSON
)


@given(HEADERS | JSON, CLAIMS | JSON, st.sampled_from([PLAIN, STRICT]))
def test_any_signed_content_names_a_user_or_is_refused(
    header: Any, content: Any, settings: Any
) -> None:
    if isinstance(header, dict):
        header = {"alg": "HS256", **header}
    field = b"Bearer " + sealed(json.dumps(header).encode(), json.dumps(content).encode())
    try:
        user = identify(field, JwtIdentity(settings))
    except InvalidToken:
        return
    assert user == content["sub"].replace("-", "")


def accepted_by_pyjwt(token: bytes, settings: Settings) -> bool:
    """Whether PyJWT alone would name the same user."""
    section = settings.identity.jwt
    try:
        claims = jwt.decode(
            token,
            SECRET,
            algorithms=["HS256"],
            audience=section.audience or None,
            issuer=section.issuer or None,
            options={"verify_aud": bool(section.audience), "require": ["sub"]},
        )
        parse_user_id(claims["sub"])
    except (jwt.PyJWTError, ValueError):
        return False
    return True


def is_accepted(token: bytes, settings: Settings) -> bool:
    try:
        return identify(b"Bearer " + token, JwtIdentity(settings)) is not None
    except InvalidToken:
        return False


def assert_judged_as_by_pyjwt(content: Any, settings: Settings) -> None:
    """Except what is no JSON, or a number beyond any float."""
    text = json.dumps(content).encode()
    token = sealed(HEADER, text)
    expected = _is_json(text) and accepted_by_pyjwt(token, settings)
    assert is_accepted(token, settings) == expected, content


NOW = time.time()
MOMENTS: list[Any] = [NOW - 100, NOW + 100.5, int(NOW) - 100, int(NOW) + 100, 0, -1, True, False]
TEXTS: list[Any] = ["", "here", "there", "4e9", "inf", " 4_000_000_000 ", str(FAR), ADA]
LISTS: list[Any] = [[], ["here"], ["here", None], ["there", "here"], ["there"], [["here"]], {}]


@pytest.mark.parametrize("settings", [PLAIN, STRICT], ids=["plain", "strict"])
@pytest.mark.parametrize("name", ["sub", "exp", "iat", "nbf", "aud", "iss", "jti", "other"])
def test_a_claim_is_judged_as_by_pyjwt(name: str, settings: Settings) -> None:
    assert is_accepted(sealed(HEADER, json.dumps(GOOD_CLAIMS).encode()), settings)
    for value in (None, *MOMENTS, *TEXTS, *LISTS):
        assert_judged_as_by_pyjwt({**GOOD_CLAIMS, name: value}, settings)
    absent = {other: value for other, value in GOOD_CLAIMS.items() if other != name}
    assert_judged_as_by_pyjwt(absent, settings)


@given(CLAIMS | JSON, st.sampled_from([PLAIN, STRICT]))
def test_any_claims_are_judged_as_by_pyjwt(content: Any, settings: Settings) -> None:
    assert_judged_as_by_pyjwt(content, settings)


@given(HEADERS | JSON, st.sampled_from(["HS256", "HS384", "none", "RS256", None, ["HS256"]]))
def test_no_header_is_accepted_that_pyjwt_refuses(header: Any, algorithm: Any) -> None:
    if isinstance(header, dict):
        header = {"alg": algorithm, **header}
    token = sealed(json.dumps(header).encode(), claims())
    if is_accepted(token, PLAIN):
        assert accepted_by_pyjwt(token, PLAIN)
    elif accepted_by_pyjwt(token, PLAIN):
        assert {"crit", "b64"} & set(header) or not _is_json(json.dumps(header).encode())


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True


@given(st.binary(max_size=200) | st.from_regex(rb"[!-~]{0,30}\.[!-~]{0,30}\.[!-~]{0,30}"))
def test_any_bytes_are_refused(token: bytes) -> None:
    try:
        assert identify(b"Bearer " + token) is None
    except InvalidToken:
        return
    assert not token.strip()
