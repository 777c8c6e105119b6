"""What the printed configurations of nginx and Caddy let through to the gateway, in bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import require_program
from tests.support.proxies import DELIVERY, proxy_before
from tests.support.server import Server, serving
from tests.support.site import ADA, Site, bearer, token
from tests.support.upstream import Recorder, is_whole, recording
from tests.support.urls import SIGNED_ENVIRONMENT, capability, own, pin_of, public, signed
from tests.support.waiting import eventually

PROXIES = [f"{proxy} {mode}" for proxy in ("nginx", "caddy") for mode in DELIVERY]
PATHS = {
    "own": own("Review"),
    "public": public("Review"),
    "signed": signed(capability(ADA, "Review"), "Review"),
    "manifest": "/api/v1/plugins/manifest",
}


@contextmanager
def before_recorder(name: str, site: Site, folder: Path) -> Iterator[tuple[Server, Recorder]]:
    proxy, mode = name.split()
    with recording() as recorder:
        behind = Server(None, recorder.port, [])  # type: ignore[arg-type]
        environment = {**site.environment, **SIGNED_ENVIRONMENT}
        program = require_program(proxy)
        with proxy_before(behind, environment, program, proxy, mode, folder) as front:
            yield front, recorder


@pytest.fixture(scope="module", params=PROXIES)
def proxied(
    request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Recorder]]:
    folder = tmp_path_factory.mktemp("proxy") / "proxy"
    with before_recorder(request.param, site, folder) as found:
        yield found


def recorded(proxied: tuple[Server, Recorder], request: bytes) -> list[bytes]:
    """What reached the gateway of a request that closes its connection."""
    front, recorder = proxied
    recorder.requests.clear()
    answer = front.raw(request)
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert recorder.requests
    return list(recorder.requests)


def names_in(request: bytes) -> set[bytes]:
    """Fields of the head."""
    lines = request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return {line.partition(b":")[0].lower() for line in lines}


def connection_of(request: bytes) -> list[bytes]:
    lines = request.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    return [line for line in lines if line.startswith(b"connection:")]


BODIES = {
    b"": b"",
    b"Content-Length: 5\r\n": b"12345",
    b"Transfer-Encoding: chunked\r\n": b"5\r\n12345\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("path", PATHS)
def test_neither_an_upgrade_nor_a_length_without_a_body_reaches_the_gateway(
    proxied: tuple[Server, Recorder], path: str
) -> None:
    """Either would make the gateway read the next request on that connection wrongly."""
    for body, content in BODIES.items():
        requests = recorded(
            proxied,
            b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n%s\r\n%s"
            % (PATHS[path].encode(), body, content),
        )
        for request in requests:
            assert b"upgrade" not in names_in(request)
            assert not any(b"upgrade" in line for line in connection_of(request))
            assert is_whole(request), request


def test_trailers_reach_the_gateway_as_trailers_or_not_at_all(
    proxied: tuple[Server, Recorder],
) -> None:
    requests = recorded(
        proxied,
        b"POST /api/v1/plugins/manifest HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Trailer: X-User-Id, X-Other\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\n12345\r\n0\r\nX-User-Id: somebody\r\nX-Other: else\r\n\r\n",
    )
    for request in requests:
        assert not names_in(request) & {b"x-user-id", b"x-other"}


@pytest.mark.parametrize("proxied", ["nginx authorize", "caddy authorize"], indirect=True)
@pytest.mark.parametrize("path", PATHS)
def test_only_where_it_counts_is_a_permission_asked_for_with_a_credential(
    proxied: tuple[Server, Recorder], path: str
) -> None:
    credential = bearer(ADA)["Authorization"].encode()
    requests = recorded(
        proxied,
        b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: %s\r\n\r\n"
        % (PATHS[path].encode(), credential),
    )
    questions = [request for request in requests if request.startswith(b"GET /-/authorize ")]
    assert len(questions) == (path != "manifest")
    for question in questions:
        assert (credential in question) is (path == "own")


# With the gateway behind it


@pytest.fixture(scope="module")
def remembering(
    site: Site, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Path]]:
    """nginx that asks for permissions, and the folder that it keeps them in."""
    folder = tmp_path_factory.mktemp("remembering") / "nginx"
    environment = {**site.environment, **SIGNED_ENVIRONMENT}
    program = require_program("nginx")
    with (
        serving({**environment, "GATEWAY__DELIVERY__MODE": "authorize"}) as behind,
        proxy_before(behind, environment, program, "nginx", "authorize", folder) as front,
    ):
        tree = site.plugins / "cache/pinned/Review" / pin_of(front, ADA, "Review")
        eventually(lambda: (front.get(own("Review"), bearer(ADA)), tree.is_dir())[1], bool)
        yield front, folder / "permissions"


@pytest.mark.parametrize("path", [public(f"{ADA}_Review"), PATHS["signed"]])
def test_a_credential_that_does_not_count_makes_no_permission_of_its_own(
    remembering: tuple[Server, Path], path: str
) -> None:
    front, folder = remembering
    assert front.get(path).status == 200
    before = permissions(folder)
    for number in range(100):
        assert front.get(path, {"Authorization": f"Bearer {number}"}).status == 200
    assert permissions(folder) <= before + 1  # the first may have been asked for again


def test_a_token_makes_one_permission_however_it_is_spelled(
    remembering: tuple[Server, Path],
) -> None:
    front, folder = remembering
    credential = token(ADA)
    before = permissions(folder)
    for number in range(1, 100):
        field = {"Authorization": f"bearer{' ' * number}{credential}"}
        assert front.get(own("Review"), field).status == 200
    assert permissions(folder) <= before + 2


def permissions(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def test_a_request_with_a_body_leaves_the_next_one_alone(
    remembering: tuple[Server, Path],
) -> None:
    """The question of a permission has no body, and must not promise one: the gateway would
    take the next request on that connection, whosever it is, for the body.
    """
    front, _ = remembering
    for number in range(20):
        credential = f"Bearer {token(ADA, jti=str(number))}"  # nobody has asked with it yet
        answer = front.request("GET", own("Review"), {"Authorization": credential}, b"x" * 60)
        assert answer.status == 200
        assert front.get("/-/live").status == 200
