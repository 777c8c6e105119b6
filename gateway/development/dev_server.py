"""A bundler's own dev server on this machine, asked for files of the plugin. Blocking.

It gets no credential of the page, and only what it needs to choose an answer.
"""

import http.client
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from gateway.errors import ConfigurationError, DevServerFailed
from gateway.errors.sentences import sentence_of

_PASSED_TO = (b"accept", b"if-none-match", b"if-modified-since", b"range", b"sec-fetch-dest")
_PASSED_BACK = ("content-type", "content-range", "etag", "last-modified", "location", "sourcemap")
_MAX_BYTES = 64 * 2**20
# A bundler answers its first request when it has compiled.
_TIMEOUT_S = 30.0
_SCRIPTS = (".js", ".mjs")


@dataclass(frozen=True, slots=True)
class DevServerAnswer:
    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes


class DevServer:
    def __init__(self, url: str) -> None:
        """`url`: of the folder in which the entry is, or of the entry.

        Raises: ConfigurationError, unless it is an http:// URL of this machine.
        """
        refusal = ConfigurationError(
            f"--from: expected a URL of this machine, such as http://localhost:5173, got {url!r}"
        )
        try:
            parts = urlsplit(url)
            port = parts.port or 80
        except ValueError:
            raise refusal from None
        host = parts.hostname or ""
        is_plain = parts.scheme == "http" and "@" not in parts.netloc and not parts.query
        if not is_plain or parts.fragment or not _is_loopback(host) or not url.isascii():
            raise refusal
        folder, _, name = parts.path.rpartition("/")
        is_entry = name.endswith(_SCRIPTS)
        self.entry_name = name if is_entry else None
        """None: the name in the metadata."""
        self._folder = folder if is_entry else parts.path.rstrip("/")
        self.url = f"http://{parts.netloc}{self._folder}/"
        self._authority = parts.netloc
        # By number: a name could be made to resolve to another machine. Vite listens on one of the
        # two, whichever Node takes first.
        self._addresses = ("127.0.0.1", "::1") if host == "localhost" else (host,)
        self._port = port

    def fetch(
        self, method: str, path: str, query: str, headers: Mapping[bytes, bytes]
    ) -> DevServerAnswer:
        """Its answer, whatever the status. `path`: below the folder, percent-encoded.

        Raises: DevServerFailed.
        """
        if any(segment in (".", "..") for segment in unquote(path).split("/")):
            raise DevServerFailed(f"{self.url} is not asked for a path with dot segments")
        target = f"{self._folder}/{path}{f'?{query}' if query else ''}"
        fields = {
            name.decode(): headers[name].decode("latin-1") for name in _PASSED_TO if name in headers
        }
        failure = ""
        for address in self._addresses:
            connection = http.client.HTTPConnection(address, self._port, timeout=_TIMEOUT_S)
            try:
                connection.connect()
            except OSError as error:
                failure = failure or sentence_of(error)
                continue
            try:
                return self._ask(connection, method, target, {"host": self._authority, **fields})
            except (OSError, http.client.HTTPException) as error:
                raise DevServerFailed(
                    f"The bundler's dev server at {self.url} broke off: {sentence_of(error)}"
                ) from None
            finally:
                connection.close()
        raise DevServerFailed(
            f"The bundler's dev server at {self.url} cannot be reached: {failure}"
        )

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        fields: Mapping[str, str],
    ) -> DevServerAnswer:
        connection.request(method, target, headers=dict(fields))
        response = connection.getresponse()
        body = response.read(_MAX_BYTES + 1)
        if len(body) > _MAX_BYTES:
            raise DevServerFailed(
                f"The bundler's dev server at {self.url} sent more than {_MAX_BYTES} bytes"
            )
        if response.length:  # http.client tells nobody
            raise http.client.IncompleteRead(body, response.length)
        passed = tuple(
            (name.encode(), value.encode("latin-1"))
            for name in _PASSED_BACK
            if (value := response.getheader(name)) is not None
        )
        return DevServerAnswer(response.status, passed, body)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
