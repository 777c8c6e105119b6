"""`proxy-config --metrics-allow`: real nginx and Caddy let these clients scrape, and no others."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import require_program
from tests.support.application import serving_application
from tests.support.commands import line_of, run
from tests.support.proxies import DELIVERY, proxy_before
from tests.support.server import Server, UnixServer, serving, serving_on_socket
from tests.support.site import Site

METRICS = "/-/metrics"
SCRAPERS = ("127.0.0.2", "127.0.4.7")
ALLOW = ("--metrics-allow", "127.0.0.2", "--metrics-allow", "127.0.4.0/24")
SOCKET_ALLOWED = {"GATEWAY__OBSERVABILITY__METRICS_ALLOW": "unix"}
PROXIES = [f"{proxy} {mode}" for proxy in ("nginx", "caddy") for mode in DELIVERY]


class Gateways:
    """One on a port, one on a Unix socket, and an application beside them."""

    def __init__(self, site: Site, stack: ExitStack) -> None:
        self.on_port = stack.enter_context(serving(site.environment))
        socket = site.folder / "gateway.sock"
        environment = {**site.environment, **SOCKET_ALLOWED}
        self.on_socket: UnixServer = stack.enter_context(serving_on_socket(environment, socket))
        application = stack.enter_context(serving_application())
        self._arguments: dict[str, tuple[str, ...]] = {
            "port": (),
            "socket": ("--upstream", str(socket)),
            "one origin": ("--application", f"http://127.0.0.1:{application.port}"),
        }
        self._site = site
        self._stack = stack

    def behind(self, name: str, place: str, *arguments: str) -> Server:
        proxy, mode = name.split()
        folder = self._site.folder / f"{name} {place} {len(arguments)}".replace(" ", "-")
        environment = {**self._site.environment, **SOCKET_ALLOWED} if place == "socket" else {}
        started = proxy_before(
            self.on_port,
            {**self._site.environment, **environment},
            require_program(proxy),
            proxy,
            mode,
            folder,
            *self._arguments[place],
            *arguments,
        )
        return self._stack.enter_context(started)


@pytest.fixture(scope="module")
def gateways(site: Site) -> Iterator[Gateways]:
    with ExitStack() as stack:
        yield Gateways(site, stack)


SETTINGS = [
    *((name, place) for name in PROXIES for place in ("port", "one origin")),
    ("nginx proxy", "socket"),
    ("caddy proxy", "socket"),
]


@pytest.fixture(
    scope="module",
    params=[pytest.param(one, id=", ".join(one), marks=pytest.mark.slow) for one in SETTINGS],
)
def front(request: pytest.FixtureRequest, gateways: Gateways) -> Server:
    return gateways.behind(*request.param, *ALLOW)


def test_a_listed_client_scrapes_the_gateway_through_the_proxy(front: Server) -> None:
    for address in SCRAPERS:
        answer = front.get_from(address, METRICS)
        assert answer.status == 200
        assert b"gateway_build_info" in answer.body


def test_another_client_gets_what_a_path_that_nobody_has_gets(front: Server) -> None:
    for address in ("127.0.0.1", "127.0.0.3", "127.0.5.7"):
        answer = front.get_from(address, METRICS)
        assert answer.status == 404
        assert b"gateway_" not in answer.body


@pytest.mark.parametrize(
    "claimed",
    [
        {"X-Forwarded-For": "127.0.0.2"},
        {"X-Real-IP": "127.0.0.2", "X-Client-IP": "127.0.0.2"},
        {"Forwarded": "for=127.0.0.2"},
        {"X-Original-URI": "/-/live"},
        {"Host": "127.0.0.2"},
    ],
)
def test_what_a_client_claims_opens_nothing(front: Server, claimed: dict[str, str]) -> None:
    assert front.get(METRICS, claimed).status == 404


@pytest.mark.parametrize(
    "path", ["/-/../-/metrics", "/x/../-/metrics", "/%2d/metrics", "/-/./metrics", "/-//metrics"]
)
def test_another_spelling_opens_nothing(front: Server, path: str) -> None:
    assert b"gateway_" not in front.get(path).body


def test_permissions_stay_closed_to_scrapers(front: Server) -> None:
    for path in ("/-/authorize", "/x/../-/authorize"):
        assert front.get_from(SCRAPERS[0], path).status in (400, 404)
    assert front.get_from(SCRAPERS[0], "/-/cache").status == 401


@pytest.mark.slow
@pytest.mark.parametrize("name", PROXIES)
def test_without_the_option_the_metrics_are_closed(gateways: Gateways, name: str) -> None:
    front = gateways.behind(name, "port")
    assert front.get_from(SCRAPERS[0], METRICS).status == 404


# The command


@pytest.mark.parametrize("proxy", ["nginx", "caddy"])
@pytest.mark.parametrize(
    "network",
    ["10.0.0.1/8", "10.0.0.0/33", "prometheus.example", "unix", "", "10.0.0.0/8;", "fe80::1%x; y"],
)
def test_what_is_no_network_is_one_line(proxy: str, network: str) -> None:
    line = line_of(run({}, "proxy-config", proxy, "--metrics-allow", network))
    assert "--metrics-allow" in line
    assert repr(network) in line
    assert "10.0.0.0/8" in line


def test_networks_of_both_families_are_written_as_they_are() -> None:
    networks = ("10.0.0.0/8", "2001:db8::/32", "::1")
    options = [word for network in networks for word in ("--metrics-allow", network)]
    nginx = run({}, "proxy-config", "nginx", *options).stdout
    assert "allow 10.0.0.0/8;" in nginx
    assert "allow 2001:db8::/32;" in nginx
    caddy = run({}, "proxy-config", "caddy", *options).stdout
    assert "remote_ip 10.0.0.0/8 2001:db8::/32 ::1/128" in caddy


def test_vite_opens_no_metrics() -> None:
    options = ("--application", "http://127.0.0.1:8005", "--metrics-allow", "10.0.0.0/8")
    assert "--metrics-allow" in line_of(run({}, "proxy-config", "vite", *options))


@pytest.mark.parametrize(
    ("environment", "options", "warning"),
    [
        ({}, (), None),
        ({}, ("--upstream", "[::1]:8000"), None),
        ({}, ("--upstream", "10.0.0.7:8000"), None),  # it may see the proxy at any address
        ({}, ("--upstream", "/run/gateway.sock"), 'metrics_allow has no "unix"'),
        ({"METRICS_ALLOW": "unix"}, ("--upstream", "/run/gateway.sock"), None),
        ({"METRICS_ALLOW": "unix"}, (), 'metrics_allow has no "127.0.0.1"'),
        (
            {"METRICS_ALLOW": "10.0.0.0/8"},
            ("--upstream", "0.0.0.0:8000"),
            'metrics_allow has no "127.0.0.1"',
        ),
        ({"METRICS": "false"}, (), "observability.metrics is false"),
    ],
)
def test_a_gateway_that_would_refuse_the_proxy_is_warned_of(
    environment: dict[str, str], options: tuple[str, ...], warning: str | None
) -> None:
    settings = {f"GATEWAY__OBSERVABILITY__{name}": value for name, value in environment.items()}
    result = run(settings, "proxy-config", "nginx", *options, "--metrics-allow", "10.0.0.0/8")
    assert result.exit_code == 0
    if warning is None:
        assert result.stderr == ""
    else:
        assert result.stderr.startswith("Warning: observability.")
        assert warning in result.stderr
