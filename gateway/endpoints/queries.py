"""Questions of administrators: their parameters, parsed once, and how many are answered at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from starlette.requests import Request

from gateway.errors import InvalidRequest, RequestError

T = TypeVar("T")


class Query:
    """The parameters of a request. An empty one counts as not given, as forms send them."""

    def __init__(self, request: Request, *names: str) -> None:
        """Raises: InvalidRequest, for a parameter of another name: it may be a mistyped one."""
        self._texts = dict(request.query_params)
        if unknown := sorted(self._texts.keys() - names):
            raise InvalidRequest(f"{unknown[0][:40]}: expected only {', '.join(names)}")

    def parsed(self, name: str, parse: Callable[[object], T]) -> T | None:
        """None if it is not given. `parse` raises ValueError. Raises: InvalidRequest."""
        text = self._texts.get(name)
        if not text:
            return None
        try:
            return parse(text)
        except ValueError as error:
            raise InvalidRequest(f"{name}: {error}") from None

    def count(self, name: str, default: int, most: int) -> int:
        """Raises: InvalidRequest, unless it is a number from 1 to `most`."""

        def parse(text: object) -> int:
            number = int(str(text)) if str(text).isdecimal() and len(str(text)) < 10 else 0
            if not 1 <= number <= most:
                raise ValueError(f"expected a number from 1 to {most:,}")
            return number

        return self.parsed(name, parse) or default


class Admission:
    """Lets a number of requests in at a time, and refuses further ones."""

    def __init__(self, most: int, refusal: type[RequestError]) -> None:
        self._free = most
        self._refusal = refusal

    def take(self) -> None:
        """Takes a place, until `release`. Raises: the refusal, if none is free."""
        if not self._free:
            raise self._refusal
        self._free -= 1

    def release(self) -> None:
        self._free += 1

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Takes a place while the block runs. Raises: as `take`."""
        self.take()
        try:
            yield
        finally:
            self.release()
