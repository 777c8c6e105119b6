"""A stand-in for BrainDrive-Core over a `Site`: the answers that `gateway check` compares.

It answers in the application's formats, with its flaws, as observed on its commit 05116acf: no
Cache-Control, an ETag from time and size, the row of whoever has a slug first. It writes down the
head of each request.
"""

import hashlib
import http.server
import json
import mimetypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jwt

from tests.support.site import SECRET, Site
from tests.support.urls import API

_SUFFIXES = (
    ".js", ".css", ".map", ".json", ".woff", ".woff2", ".ttf", ".eot", ".svg", ".png", ".jpg",
    ".jpeg", ".gif",
)  # fmt: skip
_TYPES = {"js": "text/javascript; charset=utf-8", "map": "text/plain; charset=utf-8"}
_NOT_AUTHENTICATED = {"detail": "Not authenticated"}
_MANAGER = ("available", "updates/available", "manager", "categories", "tags")


class BrainDrive:
    """Its answers, and what it was asked."""

    def __init__(self, site: Site, secret: str = SECRET) -> None:
        self.site = site
        self.heads: list[str] = []
        """Of each request: method, target and fields."""
        self.port = 0
        self.origins: set[str] = set()
        """Whose pages may read the answers (CORS_ORIGINS)."""
        self._secret = secret

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def user_of(self, authorization: str) -> str | None:
        try:
            token = authorization.removeprefix("Bearer ").strip()
            claims = jwt.decode(token, self._secret, algorithms=["HS256"])
        except jwt.PyJWTError:
            return None
        return str(claims["sub"]).replace("-", "")

    def manifest(self, user: str) -> dict[str, Any]:
        rows = self.site.query(f"SELECT * FROM plugin WHERE enabled AND user_id = '{user}'")
        return {
            row["plugin_slug"]: {
                "id": row["plugin_slug"],
                "version": row["version"],
                "bundlelocation": row["bundle_location"],
                "database_id": row["id"],
            }
            for row in rows
        }

    def file(self, plugin: str, path: str) -> Path | str:
        """A file of any row with this id or slug, or the sentence of the refusal."""
        if not path.lower().endswith(_SUFFIXES):
            return "File type not allowed"
        rows = self.site.query(
            f"SELECT * FROM plugin WHERE id = '{plugin}' OR plugin_slug = '{plugin}' LIMIT 1"
        )
        if not rows:
            return "Plugin not found"
        file = self.site.version_folder(rows[0]["plugin_slug"], rows[0]["version"]) / path
        return file if file.is_file() and not path.startswith("modules/") else "File not found"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    application: BrainDrive

    def do_GET(self) -> None:
        self._write_down()
        path = self.path.partition("?")[0].removeprefix(API)
        user = self.application.user_of(self.headers.get("Authorization", ""))
        if path.startswith("/public/plugins/"):
            self._send_file(*path.removeprefix("/public/plugins/").split("/", 1))
        elif not path.startswith("/plugins/"):
            self._send_json(404, {"detail": "Not Found"})
        elif user is None:
            self._send_json(401, _NOT_AUTHENTICATED)
        elif path == "/plugins/manifest":
            self._send_json(200, self.application.manifest(user))
        elif path.removeprefix("/plugins/") in _MANAGER:
            self._send_json(200, {"status": "success", "data": {"total_count": 0}})
        else:
            self._send_json(404, {"detail": "File not found"})

    def _change(self) -> None:
        """Its own installers answer all changes; this stand-in changes nothing."""
        self._write_down()
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._send_json(200, {"status": "success"})

    do_POST = do_PUT = do_DELETE = do_PATCH = _change  # noqa: N815  # names of http.server

    def _write_down(self) -> None:
        self.application.heads.append(f"{self.command} {self.path}\n{self.headers}")

    def _send_file(self, plugin: str, path: str) -> None:
        found = self.application.file(plugin, path)
        if isinstance(found, str):
            self._send_json(403 if "type" in found else 404, {"detail": found})
            return
        facts = found.stat()
        etag = hashlib.md5(f"{facts.st_mtime}-{facts.st_size}".encode()).hexdigest()
        suffix = found.suffix.removeprefix(".")
        kind = _TYPES.get(suffix) or mimetypes.guess_type(found.name)[0] or "text/plain"
        self._send(200, found.read_bytes(), {"Content-Type": kind, "ETag": f'"{etag}"'})

    def _send_json(self, status: int, content: object) -> None:
        text = json.dumps(content, separators=(",", ":")).encode()
        self._send(status, text, {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, fields: dict[str, str]) -> None:
        self.send_response(status, HTTPStatus(status).phrase)
        if (origin := self.headers.get("Origin")) in self.application.origins:
            fields["Access-Control-Allow-Origin"] = str(origin)
        for name, value in {**fields, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving_braindrive(site: Site, secret: str = SECRET) -> Iterator[BrainDrive]:
    application = BrainDrive(site, secret)
    handler = type("Handler", (_Handler,), {"application": application})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        application.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield application
        server.shutdown()
