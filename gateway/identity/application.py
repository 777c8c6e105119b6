"""The user that an embedding application names, with a function of its own (`create_app(user=…)`).

The function is asked once for each request. Its answer is kept in the request's ASGI scope, and
nowhere else: the application alone knows what the answer rests on. So a user who logs out is nobody
at their next request.

A plain function is asked at once, on the hot path too: the application's middleware has run when
the gateway is asked. What must be awaited is left to the cold path, and so are errors that are
logged: there the request has an id.
"""

import logging
from collections.abc import Awaitable
from copy import copy
from functools import partial
from http import HTTPStatus
from inspect import isawaitable, signature
from typing import NamedTuple, Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Scope

from gateway.caching.basis import AtHand, PendingCall
from gateway.errors import ApplicationRefusal, NotAuthenticated, RequestError
from gateway.http.heads import Headers
from gateway.identity import IdentitySource
from gateway.names import UserId, parse_user_id
from gateway.tracing.current_request import current_id

logger = logging.getLogger(__name__)


class UserFunction(Protocol):
    """A function or a coroutine function that returns the id of a request's user, or None for
    nobody.

    An id has up to 100 letters, digits, "_", ".", "@", "+" and "-". A UUID with dashes means the
    same id without them. The request has no body: the gateway reads it. A plain function must not
    block, since it runs in the event loop.

    It may raise Starlette's HTTPException with a status from 300 to 599, which is answered (but not
    304). Any other error is answered 500, and logged with its traceback.
    """

    def __call__(self, request: Request, /) -> str | Awaitable[str | None] | None: ...


_CODES = {status.value: status.name.lower() for status in HTTPStatus}
_CODES[NotAuthenticated.status] = NotAuthenticated.code


def takes_request(function: UserFunction) -> bool:
    """Whether it is a function that can be called with one argument, as its signature says."""
    try:
        signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # some functions in C have no signature
        return True
    return True


class _Answer(NamedTuple):
    """What the function said of one request."""

    user: UserId | None
    refusal: RequestError | None = None


class ApplicationIdentity(IdentitySource):
    """Asks the application's function."""

    def __init__(self, function: UserFunction) -> None:
        self._function = function
        # Two gateways may be asked about one scope.
        self._key = f"gateway.user.{id(self)}"

    def identify(self, basis: AtHand, scope: Scope, _headers: Headers) -> UserId | None:
        answer = scope.get(self._key)
        if answer is None:
            answer = scope[self._key] = self._ask(scope)
        if not isinstance(answer, _Answer):
            raise PendingCall(partial(self._wait, scope, answer))
        basis.limit_to(0.0)
        if answer.refusal is not None:
            # What is raised gets a traceback, which holds the scope: a copy, so that the scope does
            # not hold it in turn.
            raise copy(answer.refusal)
        return answer.user

    def _ask(self, scope: Scope) -> _Answer | Awaitable[str | None] | Exception:
        try:
            said = self._function(Request(scope))
            return said if isawaitable(said) else _named(said)
        except Exception as error:
            return _chosen_refusal(error) or error

    async def _wait(self, scope: Scope, said: Awaitable[str | None] | Exception) -> None:
        if isinstance(said, Exception):
            scope[self._key] = _failed(said)
            return
        try:
            scope[self._key] = _named(await said)
        except Exception as error:
            scope[self._key] = _chosen_refusal(error) or _failed(error)


def _named(said: str | None) -> _Answer:
    """Raises: ValueError, if that is no user id."""
    return _Answer(None if said is None else parse_user_id(said))


def _failed(error: Exception) -> _Answer:
    # In the text too: the formatters of an embedding application do not know our ids.
    logger.error("the application cannot say who sends request %s", current_id(), exc_info=error)
    return _Answer(None, ApplicationRefusal())


def _chosen_refusal(error: Exception) -> _Answer | None:
    """The refusal that the application means; None: it means none."""
    if isinstance(error, RequestError):
        return _Answer(None, error.with_traceback(None))
    # 304 would say that the client's copy of the file is right.
    if not isinstance(error, HTTPException) or error.status_code not in {*range(300, 600)} - {304}:
        return None
    error.with_traceback(None)  # it may be a constant, which would hold each request
    status, headers = error.status_code, tuple((error.headers or {}).items())
    if status == NotAuthenticated.status and not headers:
        headers = NotAuthenticated.headers
    code = _CODES.get(status, "refused")
    # FastAPI allows any value as the detail; ours is a sentence.
    detail = error.detail if isinstance(error.detail, str) else code.replace("_", " ")
    return _Answer(None, ApplicationRefusal(status, code, detail, headers))
