"""What is known of the request that is being answered: log lines about it show it.

The front sets it at the beginning of the cold path. Whatever runs for the request learns of it
without being told, also threads and tasks that it begins: what a load of a cache logs has the id
of the request that began the load. The hot path logs nothing, and sets nothing.
"""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class CurrentRequest:
    """Grows while the request is answered."""

    id: str
    """1 to 64 letters, digits, "-", "_" and "."."""
    user: str | None = None
    """Whose credential it carries; on the public route, whose row it names. None: not known."""
    code: str | None = None
    """The error code of a refusal."""
    reason: str | None = None
    """Why it is refused, for operators."""


CURRENT: ContextVar[CurrentRequest | None] = ContextVar("gateway.request", default=None)


def current_id() -> str | None:
    """None: no request is being answered here."""
    request = CURRENT.get()
    return None if request is None else request.id


def note_user(user: str) -> None:
    if (request := CURRENT.get()) is not None:
        request.user = user


def note_refusal(code: str, reason: str) -> None:
    if (request := CURRENT.get()) is not None:
        request.code, request.reason = code, reason
