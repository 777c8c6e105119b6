"""Who serves the host page and the plugins: the gateway by itself, behind a proxy, and others."""

import base64
import datetime
import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.browser.host import application_command, mounted_command
from benchmarks.browser.site import BrowserSite
from benchmarks.processes import HOST, Command, Running, ServerFailed, Servers, output_of
from benchmarks.serve.contestants import nginx_command

GATEWAY, NGINX, CADDY, APPLICATION = "gateway", "nginx", "caddy", "application"
NOT_PRELOADED = "nginx, no preload"
PINNED = (GATEWAY, NGINX, CADDY)
"""Those whose manifests have pinned URLs."""
# Differences are for secure contexts only, and the gateway sees plain HTTP from its proxy.
_BEHIND_TLS = {"GATEWAY__HTTP__HTTPS": "true"}
ABOUT = {
    GATEWAY: "the gateway, mounted in the host's application; HTTP/1.1 on localhost",
    NOT_PRELOADED: "the same nginx; the page does not preload what the manifest says",
    NGINX: "nginx with TLS and HTTP/2 before gateway and application, as proxy-config prints it",
    CADDY: "Caddy with TLS and HTTP/2, as proxy-config prints it",
    APPLICATION: "files as the application sends them: HTTP/1.1, no encodings, no Cache-Control",
}


@dataclass(frozen=True, slots=True)
class Contestant:
    name: str
    port: int
    manifest_port: int
    """Where the manifest can be asked for without TLS."""
    has_tls: bool
    query: str = ""

    def page(self, port: int, token: str) -> str:
        """The URL of the host page, by way of a port."""
        return f"{'https' if self.has_tls else 'http'}://localhost:{port}/{self.query}#{token}"


class Certificate:
    """A certificate for localhost, for a day. PEM files in the folder."""

    def __init__(self, folder: Path) -> None:
        self.chain, self.key = folder / "chain.pem", folder / "key.pem"
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        self.chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.pin = base64.b64encode(hashlib.sha256(public).digest()).decode()
        """What a browser takes for a reason to trust it."""


def start_contestants(
    servers: Servers, site: BrowserSite, certificate: Certificate, absent: list[str]
) -> list[Contestant]:
    """Those that are installed; `absent` gets a line about each of the others.

    Raises: ServerFailed, for the gateway and the application.
    """
    mounted = servers.start(partial(mounted_command, site, {}))
    application = servers.start(partial(application_command, site))
    started = [
        Contestant(GATEWAY, mounted.port, mounted.port, has_tls=False),
        Contestant(APPLICATION, application.port, application.port, has_tls=False),
    ]
    gateway = servers.start(partial(site.serve_command, settings=_BEHIND_TLS))
    for name, command in ((NGINX, _nginx_command), (CADDY, _caddy_command)):
        if not shutil.which(name):
            absent.append(f"{name} is not installed")
            continue
        behind = {"application": application, "gateway": gateway}
        try:
            proxy = servers.start(partial(command, site, certificate, behind))
        except ServerFailed as error:
            absent.append(f"{name}: did not start: {error}")
            continue
        contestant = Contestant(name, proxy.port, gateway.port, has_tls=True)
        started.append(contestant)
        if name == NGINX:
            started.append(replace(contestant, name=NOT_PRELOADED, query="?preload=no"))
    return started


def _nginx_command(
    site: BrowserSite, certificate: Certificate, behind: Mapping[str, Running], port: int
) -> Command:
    text = _printed("nginx", site, certificate, behind, port, "--site")
    return nginx_command(site.folder / "nginx", text)


def _caddy_command(
    site: BrowserSite, certificate: Certificate, behind: Mapping[str, Running], port: int
) -> Command:
    path = site.folder / "Caddyfile"
    path.write_text("{\n    admin off\n}\n" + _printed("caddy", site, certificate, behind, port))
    # Otherwise Caddy writes its state into the user's home.
    state = {name: str(site.folder / "caddy") for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    return Command(("caddy", "run", "--config", str(path), "--adapter", "caddyfile"), state)


def _printed(
    proxy: str,
    site: BrowserSite,
    certificate: Certificate,
    behind: Mapping[str, Running],
    port: int,
    *options: str,
) -> str:
    """What `gateway proxy-config` prints."""
    tls = ("--tls", str(certificate.chain), str(certificate.key))
    application = f"http://{HOST}:{behind['application'].port}"
    command = site.command(
        *("proxy-config", proxy, "--listen", f"{HOST}:{port}", *tls),
        *("--application", application, "--port", str(behind["gateway"].port), *options),
    )
    return output_of(command)
