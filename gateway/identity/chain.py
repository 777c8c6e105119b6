"""The configured ways of knowing a user, asked in the order of `identity.chain`."""

from collections.abc import Callable, Mapping, Sequence

from starlette.types import Scope

from gateway.caching.basis import AtHand
from gateway.errors import ConfigurationError, NotAuthenticated
from gateway.http.heads import Headers
from gateway.identity import IdentitySource
from gateway.identity.application import ApplicationIdentity, UserFunction, takes_request
from gateway.identity.dev import DevIdentity
from gateway.identity.jwt import JwtIdentity
from gateway.identity.proxy import ProxyIdentity
from gateway.names import UserId
from gateway.settings import Settings

_LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")


class IdentityChain:
    """The first source that finds a credential of its kind decides."""

    def __init__(self, sources: Sequence[IdentitySource]) -> None:
        self._sources = tuple(sources)

    @classmethod
    def of(cls, settings: Settings) -> "IdentityChain":
        """Raises: ConfigurationError."""
        return cls([_SOURCES[name](settings) for name in settings.identity.chain])

    @classmethod
    def of_application(cls, settings: Settings, user: UserFunction) -> "IdentityChain":
        """The function alone.

        Raises: ConfigurationError, if the settings name other ways, or it takes no request.
        """
        if "chain" in settings.identity.model_fields_set:
            raise ConfigurationError(
                "identity.chain: expected no value, because create_app(user=…) takes its place"
            )
        if not takes_request(user):
            raise ConfigurationError(
                f"create_app(user=…): expected a function of the request alone, got {user!r}"
            )
        return cls([ApplicationIdentity(user)])

    @property
    def asks_application(self) -> bool:
        """Whether nobody can know the user from a header or a URL alone."""
        return any(isinstance(source, ApplicationIdentity) for source in self._sources)

    def identify(self, basis: AtHand, scope: Scope, headers: Headers) -> UserId:
        """Raises: NotAuthenticated, InvalidToken, SourceUnavailable, Pending."""
        for source in self._sources:
            user = source.identify(basis, scope, headers)
            if user is not None:
                basis.identified(user)
                return user
        raise NotAuthenticated

    def purge_all(self) -> None:
        for source in self._sources:
            source.purge_all()


NO_CREDENTIALS = IdentityChain(())
"""For commands, which nobody sends a credential: it needs no key."""


def require_loopback(settings: Settings, subject: str) -> None:
    """Raises: ConfigurationError, if others than this machine could reach the server. `subject`
    begins the message.
    """
    server = settings.server
    if server.uds or server.host not in _LOOPBACK_HOSTS:
        raise ConfigurationError(
            f"{subject} is for loopback alone, not for {server.uds or server.host}"
        )


def _dev(settings: Settings) -> DevIdentity:
    require_loopback(settings, "identity.chain: 'dev' lets anyone be anyone and")
    return DevIdentity()


_SOURCES: Mapping[str, Callable[[Settings], IdentitySource]] = {
    "jwt": JwtIdentity,
    "proxy": lambda settings: ProxyIdentity(settings.identity.proxy),
    "dev": _dev,
}
