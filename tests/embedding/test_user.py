"""`create_app(user=…)`: the application says who asks, and the gateway believes nobody else."""

import asyncio
import gc
import logging
import weakref
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import fastapi
import orjson
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from gateway import ConfigurationError, Gateway, create_app
from gateway.errors import NotAuthenticated, SourceUnavailable
from gateway.identity.application import UserFunction
from tests.support.asgi import Client, Headers, body, fields, status
from tests.support.embedding import (
    as_user,
    awaited_from_header,
    code,
    named_in_header,
    settings_without_a_secret,
    version_for,
    with_embedded,
)
from tests.support.scrapes import hot_answers
from tests.support.settings import AN_HOUR, QUIET
from tests.support.site import ADA, BEN, NOBODY, Site, token
from tests.support.urls import (
    ENTRY_URL,
    MANIFEST,
    SIGNED_ENVIRONMENT,
    capability,
    public,
    signed,
)
from tests.support.waiting import until_answer

ADA_WITH_DASHES = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"


class Login:
    """An object of the application that is called."""

    async def __call__(self, request: Request) -> str | None:
        return await awaited_from_header(request)


def from_field(name: str, request: Request) -> str | None:
    return request.headers.get(name)


def returning_an_awaitable(request: Request) -> Awaitable[str | None]:
    return awaited_from_header(request)


KINDS: dict[str, UserFunction] = {
    "function": named_in_header,
    "coroutine function": awaited_from_header,
    "object": Login(),
    "partial": partial(from_field, "x-test-user"),
    "function that returns an awaitable": returning_an_awaitable,
}
each_kind = pytest.mark.parametrize("user", KINDS.values(), ids=KINDS)


class Counted:
    """Counts how often the application is asked."""

    def __init__(self, function: Callable[[Request], Any] = named_in_header) -> None:
        self._function = function
        self.count = 0

    def __call__(self, request: Request) -> Any:
        self.count += 1
        return self._function(request)


@each_kind
def test_every_user_gets_their_own_version(site: Site, user: UserFunction) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        for _ in range(2):
            assert await version_for(client, ENTRY_URL, as_user(ADA)) == "1.0.0"
            assert await version_for(client, ENTRY_URL, as_user(BEN)) == "1.0.1"
            assert await version_for(client, ENTRY_URL, as_user(NOBODY)) == "not_installed"

    with_embedded(site, user, scenario)


@each_kind
@pytest.mark.parametrize("path", [ENTRY_URL, MANIFEST, "/api/v1/plugins/Review/status"])
def test_nobody_is_refused(site: Site, user: UserFunction, path: str) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        assert status(await client.request(path, None, extra=as_user(ADA))) == 200
        refusal = await client.request(path, None)
        assert (status(refusal), code(refusal)) == (401, "not_authenticated")
        assert fields(refusal)[b"cache-control"] == b"no-store"

    with_embedded(site, user, scenario)


def test_a_token_of_the_chain_proves_nothing(site: Site) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        for extra in (
            [(b"authorization", f"Bearer {token(ADA)}".encode())],
            [(b"x-user-id", ADA.encode())],
            [(b"x-dev-user", ADA.encode())],
        ):
            assert await version_for(client, ENTRY_URL, extra) == "not_authenticated"

    with_embedded(site, named_in_header, scenario)


@each_kind
def test_an_id_with_dashes_is_the_same_user(site: Site, user: UserFunction) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        assert await version_for(client, ENTRY_URL, as_user(ADA_WITH_DASHES)) == "1.0.0"

    with_embedded(site, user, scenario)


# What goes wrong


def raising(error: Exception) -> UserFunction:
    def user(_request: Request) -> str:
        raise error

    return user


def raising_later(error: Exception) -> UserFunction:
    async def user(_request: Request) -> str:
        await asyncio.sleep(0)
        raise error

    return user


@pytest.mark.parametrize("raising", [raising, raising_later])
@pytest.mark.parametrize("path", [ENTRY_URL, MANIFEST, "/api/v1/plugins/Review/status"])
def test_an_error_of_the_application_is_a_500_and_one_line_with_its_traceback(
    site: Site,
    path: str,
    raising: Callable[[Exception], UserFunction],
    caplog: pytest.LogCaptureFixture,
) -> None:
    user = Counted(raising(KeyError("a secret of the application")))
    request_ids: list[str] = []

    async def scenario(_gateway: Gateway, client: Client) -> None:
        answer = await client.request(path, None)
        assert (status(answer), code(answer)) == (500, "internal_error")
        assert b"secret" not in body(answer)
        request_ids.append(fields(answer)[b"x-request-id"].decode())
        assert fields(answer)[b"cache-control"] == b"no-store"

    with caplog.at_level(logging.ERROR):
        with_embedded(site, user, scenario)
    (record,) = caplog.records
    (request_id,) = request_ids
    assert record.message == f"the application cannot say who sends request {request_id}"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)
    assert record.exc_info[1].__context__ is None
    assert user.count == 1


@pytest.mark.parametrize("said", ["../../evil", "", "a" * 101, "a b", 7, True, b"ada", object()])
def test_what_is_no_user_id_is_an_error_of_the_application(
    site: Site, said: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def later(_request: Request) -> Any:
        return said

    async def scenario(_gateway: Gateway, client: Client) -> None:
        answer = await client.request(ENTRY_URL, None)
        assert (status(answer), code(answer)) == (500, "internal_error")

    for user in (lambda _request: said, later):
        caplog.clear()
        with_embedded(site, user, scenario)
        (record,) = caplog.records
        assert record.exc_info is not None
        assert "not a user id" in str(record.exc_info[1])


REFUSALS = [
    (HTTPException(401), "not_authenticated", "Unauthorized", {b"www-authenticate"}),
    (HTTPException(401, "Log in", {"WWW-Authenticate": "Basic"}), "not_authenticated", "Log in",
     {b"www-authenticate"}),
    (HTTPException(403, "Not you"), "forbidden", "Not you", set()),
    (HTTPException(429, "Slowly", {"Retry-After": "9"}), "too_many_requests", "Slowly",
     {b"retry-after"}),
    (HTTPException(303, "Log in", {"Location": "/login"}), "see_other", "Log in", {b"location"}),
    (HTTPException(419, "Odd"), "refused", "Odd", set()),
    (fastapi.HTTPException(403, {"any": "JSON"}), "forbidden", "forbidden", set()),
    (NotAuthenticated(), "not_authenticated", "Not authenticated", {b"www-authenticate"}),
    (SourceUnavailable(), "source_unavailable", SourceUnavailable.default_detail,
     {b"retry-after"}),
]  # fmt: skip


@pytest.mark.parametrize("raising", [raising, raising_later])
@pytest.mark.parametrize(("error", "word", "detail", "names"), REFUSALS)
def test_a_refusal_of_the_application_is_answered_with_its_status(
    site: Site,
    raising: Callable[[Exception], UserFunction],
    error: Any,
    word: str,
    detail: str,
    names: set[bytes],
) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        for path in (ENTRY_URL, MANIFEST, "/api/v1/plugins/Review/status"):
            answer = await client.request(path, None)
            assert status(answer) == (
                error.status_code if isinstance(error, HTTPException) else error.status
            )
            assert orjson.loads(body(answer)) == {"detail": detail, "code": word}
            sent = fields(answer)
            assert sent[b"cache-control"] == b"no-store"
            for name, value in dict(error.headers or {}).items():
                assert sent[name.lower().encode()] == value.encode()
            assert names <= sent.keys()

    with_embedded(site, raising(error), scenario)


A_CONSTANT = HTTPException(401)


@pytest.mark.parametrize("raising", [raising, raising_later])
@pytest.mark.parametrize(
    "error", [lambda: HTTPException(401), NotAuthenticated, lambda: A_CONSTANT]
)
def test_a_refusal_does_not_hold_the_request(
    site: Site,
    raising: Callable[[Exception], UserFunction],
    error: Callable[[], Exception],
) -> None:
    """A traceback would hold it until garbage is collected, and anybody can be refused."""

    class Sent(dict[str, Any]):
        """A scope to which there can be a weak reference."""

    async def scenario(gateway: Gateway, client: Client) -> None:
        sent: list[weakref.ref[Sent]] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope = Sent(scope)
            sent.append(weakref.ref(scope))
            await gateway(scope, receive, send)

        gc.disable()
        try:
            for _ in range(5):
                assert status(await Client(app).request(ENTRY_URL, None)) == 401
            assert [it() for it in sent] == [None] * 5
        finally:
            gc.enable()

    def user(request: Request) -> Any:
        return raising(error())(request)

    with_embedded(site, user, scenario, **QUIET)


@pytest.mark.parametrize("wrong", [200, 204, 304, 100])
def test_an_http_exception_that_is_no_refusal_is_an_error_of_the_application(
    site: Site, wrong: int
) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        assert status(await client.request(ENTRY_URL, None)) == 500

    with_embedded(site, raising(HTTPException(wrong, "fine")), scenario)


def test_a_function_that_reads_the_body_fails(site: Site) -> None:
    async def user(request: Request) -> str:
        return (await request.body()).decode()

    async def scenario(_gateway: Gateway, client: Client) -> None:
        assert status(await client.request(ENTRY_URL, None)) == 500

    with_embedded(site, user, scenario)


# How often it is asked, and what is remembered


@pytest.mark.parametrize("function", [named_in_header, awaited_from_header])
@pytest.mark.parametrize(
    ("path", "extra"),
    [
        (ENTRY_URL, []),
        (ENTRY_URL, [(b"range", b"bytes=0-1")]),
        (MANIFEST, []),
        ("/api/v1/plugins/Review/status", []),
        ("/api/v1/plugins/Unknown/dist/remoteEntry.js", []),
    ],
)
def test_the_application_is_asked_once_for_each_request(
    site: Site,
    function: Callable[[Request], Any],
    path: str,
    extra: list[tuple[bytes, bytes]],
) -> None:
    user = Counted(function)

    async def scenario(_gateway: Gateway, client: Client) -> None:
        for number in range(1, 4):
            await client.request(path, None, extra=[*as_user(ADA), *extra])
            assert user.count == number

    with_embedded(site, user, scenario)


def test_public_and_signed_urls_do_not_ask_the_application(site: Site) -> None:
    user = Counted()
    paths = (public(f"{ADA}_Review"), signed(capability(ADA, "Review"), "Review"))

    async def scenario(_gateway: Gateway, client: Client) -> None:
        for path in paths:
            assert await version_for(client, path, as_user(BEN)) == "1.0.0"
        assert user.count == 0

    with_embedded(site, user, scenario, **SIGNED_ENVIRONMENT)


def test_the_second_request_is_answered_at_once(site: Site) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        for number, user in enumerate([ADA, ADA, ADA, BEN, BEN]):
            assert await version_for(client, ENTRY_URL, as_user(user)) in ("1.0.0", "1.0.1")
            assert hot_answers(gateway)[200] == number - (user == BEN)

    with_embedded(site, named_in_header, scenario, **QUIET)


def test_a_coroutine_function_is_awaited_but_no_source_is_asked_again(site: Site) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        assert await version_for(client, ENTRY_URL, as_user(ADA)) == "1.0.0"
        queries = gateway.core.database.queries
        assert await version_for(client, ENTRY_URL, as_user(ADA)) == "1.0.0"
        assert gateway.core.database.queries == queries
        assert not hot_answers(gateway)

    with_embedded(site, awaited_from_header, scenario, **QUIET)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_user_who_logs_out_is_refused_at_the_next_request(site: Site, is_async: bool) -> None:
    sessions = {"1": ADA, "2": BEN}

    def user(request: Request) -> str | None:
        return sessions.get(request.cookies.get("session", ""))

    async def user_later(request: Request) -> str | None:
        return user(request)

    def cookie(session: str) -> list[tuple[bytes, bytes]]:
        return [(b"cookie", f"session={session}".encode())]

    async def scenario(_gateway: Gateway, client: Client) -> None:
        for _ in range(3):
            assert await version_for(client, ENTRY_URL, cookie("1")) == "1.0.0"
        del sessions["1"]
        assert await version_for(client, ENTRY_URL, cookie("1")) == "not_authenticated"
        sessions["1"] = BEN  # somebody else logs in
        assert await version_for(client, ENTRY_URL, cookie("1")) == "1.0.1"

    with_embedded(site, user_later if is_async else user, scenario, **AN_HOUR)


def test_users_who_ask_at_the_same_time_get_no_version_of_each_other(site: Site) -> None:
    """The answers come in another order than the questions."""

    async def user(request: Request) -> str | None:
        for _ in range(int(request.headers["x-turns"])):
            await asyncio.sleep(0)
        return named_in_header(request)

    async def scenario(_gateway: Gateway, client: Client) -> None:
        asked = [(ADA, BEN)[number % 2] for number in range(100)]
        turns = [(b"x-turns", str(number * 7 % 13).encode()) for number in range(100)]
        got = await asyncio.gather(
            *(
                version_for(Client(client.app), ENTRY_URL, [*as_user(user), field])
                for user, field in zip(asked, turns, strict=True)
            )
        )
        assert got == [{ADA: "1.0.0", BEN: "1.0.1"}[user] for user in asked]

    with_embedded(site, user, scenario)


# What else depends on who asks


def test_administrators_are_those_of_the_settings(site: Site) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        for extra, expected in ((as_user(BEN), 200), (as_user(ADA), 403), ([], 401)):
            assert status(await client.request("/-/cache", None, extra=extra)) == expected

    with_embedded(site, named_in_header, scenario, GATEWAY__IDENTITY__ADMIN_USERS=BEN)


def test_no_proxy_remembers_a_permission(site: Site) -> None:
    """Its key is the credential, and only the application knows what that is."""
    extra = [(b"x-original-uri", ENTRY_URL.encode()), *as_user(ADA)]
    signed_uri = signed(capability(ADA, "Review"), "Review").encode()

    async def scenario(_gateway: Gateway, client: Client) -> None:
        async def permission(extra: Headers) -> list[Message]:
            answer = await client.request("/-/authorize", None, extra=extra)
            assert status(answer) == 200
            return answer

        def has_tree(answer: list[Message]) -> bool:
            return fields(answer)[b"x-plugin-tree"] != b"-"

        of_user = await until_answer(lambda: permission(extra), has_tree)
        assert fields(of_user)[b"x-accel-expires"] == b"0"
        of_url = await permission([(b"x-original-uri", signed_uri)])
        assert fields(of_url)[b"x-accel-expires"] == b"5"

    environment = {**AN_HOUR, **SIGNED_ENVIRONMENT, "GATEWAY__DELIVERY__MODE": "authorize"}
    with_embedded(site, named_in_header, scenario, **environment)


def test_an_explanation_of_a_url_needs_the_name_of_the_user(site: Site) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        path = "/-/explain"
        query = f"url={ENTRY_URL}".encode()
        refusal = await client.request(path, None, extra=as_user(BEN), query=query)
        assert (status(refusal), code(refusal)) == (422, "invalid_request")
        query += f"&user={ADA}".encode()
        answer = await client.request(path, None, extra=as_user(BEN), query=query)
        assert orjson.loads(body(answer))["served"] is True

    with_embedded(site, named_in_header, scenario, GATEWAY__IDENTITY__ADMIN_USERS=BEN)


def test_two_gateways_in_one_process_ask_their_own_application(site: Site) -> None:
    async def main() -> None:
        first = create_app(settings_without_a_secret(site), user=lambda _request: ADA)
        second = create_app(settings_without_a_secret(site), user=lambda _request: BEN)
        async with first.running(), second.running():
            for _ in range(2):
                assert await version_for(Client(first), ENTRY_URL, []) == "1.0.0"
                assert await version_for(Client(second), ENTRY_URL, []) == "1.0.1"

            async def one_scope(scope: Any, receive: Any, send: Any) -> None:
                async def drop(_message: Any) -> None:
                    pass

                await first(scope, receive, drop)
                await second(scope, receive, send)

            assert await version_for(Client(one_scope), ENTRY_URL, []) == "1.0.1"

    asyncio.run(main())


# Settings


def test_no_secret_is_needed(site: Site) -> None:
    settings = settings_without_a_secret(site)
    with pytest.raises(ConfigurationError, match=r"identity\.jwt\.secret"):
        create_app(settings)
    create_app(settings, user=named_in_header)


def of_a_token(token: str, *, session: str) -> str:
    return token + session


@pytest.mark.parametrize("user", ["ada", 7, lambda: ADA, of_a_token])
def test_what_cannot_be_called_with_a_request_is_refused_at_once(site: Site, user: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^create_app\(user=…\): expected a function"):
        create_app(settings_without_a_secret(site), user=user)


def test_a_chain_that_is_set_contradicts_the_function(site: Site) -> None:
    settings = settings_without_a_secret(site, GATEWAY__IDENTITY__CHAIN="proxy")
    with pytest.raises(ConfigurationError, match=r"identity\.chain: .*create_app\(user=…\)"):
        create_app(settings, user=named_in_header)
