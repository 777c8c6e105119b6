"""embedding.md: each example is run as it stands, and holds what the page says of it."""

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import itsdangerous
import pytest
from fastapi import Depends, FastAPI, HTTPException
from starlette.middleware.cors import CORSMiddleware

from gateway import Gateway, create_app
from gateway.disk.audit_log import AuditLog
from tests.support.asgi import HANGS_AFTER_S, Client, Headers, body, fields, status
from tests.support.embedding import as_user, named_in_header, settings_without_a_secret, version_for
from tests.support.settings import QUIET
from tests.support.site import ADA, BEN, SECRET, Site, populated, token
from tests.support.urls import ENTRY, ENTRY_URL, SIGNED_SECRET, public

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "embedding.md").read_text()
EXAMPLES = dict(re.findall(r"(?ms)^```python\n# (\w+)\.py\n(.*?)^```$", PAGE))
# Kept between runs: without it mypy reads FastAPI and pydantic for 10 s.
CACHE = ROOT / ".mypy_cache" / "examples"
SESSION_SECRET = "of the sessions"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The working directory of the examples."""
    site = populated(tmp_path)
    (tmp_path / "config.toml").write_text(
        f'database.url = "sqlite:///{site.database.name}"\n'
        f'[identity]\njwt.secret = "{SECRET}"\nsigned.secret = "{SIGNED_SECRET}"\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SESSION_SECRET", SESSION_SECRET)
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    return site


def example(name: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": name}
    exec(compile(EXAMPLES[name], f"{name}.py of embedding.md", "exec", dont_inherit=True), names)
    return names


def running(name: str, scenario: Callable[[Client, dict[str, Any]], Awaitable[None]]) -> None:
    """Runs the scenario while the example's application runs, with its lifespan."""

    async def main() -> None:
        names = example(name)
        app = names["app"]
        async with app.router.lifespan_context(app), asyncio.timeout(HANGS_AFTER_S):
            assert names["gateway"].core.is_running
            await scenario(Client(app), names)

    asyncio.run(main())


def session(user: str) -> Headers:
    content = base64.b64encode(json.dumps({"user": user}).encode())
    return [(b"cookie", b"session=" + itsdangerous.TimestampSigner(SESSION_SECRET).sign(content))]


def test_mounted(site: Site) -> None:
    async def scenario(client: Client, _names: dict[str, Any]) -> None:
        assert body(await client.request("/")) == b'"the application"'
        assert b"Review 1.0.0" in body(await client.request(ENTRY_URL, ADA))

    running("mounted", scenario)


def test_login(site: Site) -> None:
    async def scenario(client: Client, _names: dict[str, Any]) -> None:
        for _ in range(2):
            assert await version_for(client, ENTRY_URL, session(ADA)) == "1.0.0"
            assert await version_for(client, ENTRY_URL, session(BEN)) == "1.0.1"
        refusal = await client.request(ENTRY_URL, None)
        assert (status(refusal), json.loads(body(refusal))) == (
            401,
            {"detail": "Log in first", "code": "not_authenticated"},
        )
        assert body(await client.request("/me", None, extra=session(ADA))) == f'"{ADA}"'.encode()
        assert status(await client.request("/me", None)) == 401

    running("login", scenario)


def test_bearer(site: Site) -> None:
    async def scenario(client: Client, _names: dict[str, Any]) -> None:
        for sent, expected in (("a-token-of-ada", "1.0.0"), ("another", "not_authenticated")):
            extra = [(b"authorization", f"Bearer {sent}".encode())]
            assert await version_for(client, ENTRY_URL, extra) == expected
        refusal = await client.request(ENTRY_URL, None)
        assert (status(refusal), fields(refusal)[b"www-authenticate"]) == (401, b"Bearer")

    running("bearer", scenario)


def test_dependencies(site: Site) -> None:
    async def scenario(client: Client, names: dict[str, Any]) -> None:
        names["TOKENS"]["a-token-of-ben"] = BEN
        ada, ben = (
            [(b"authorization", f"Bearer a-token-of-{it}".encode())] for it in ("ada", "ben")
        )
        for _ in range(2):
            assert await version_for(client, ENTRY_URL, ada) == "1.0.0"
            assert await version_for(client, ENTRY_URL, ben) == "1.0.1"
        del names["TOKENS"]["a-token-of-ada"]
        for extra in (ada, []):
            assert status(await client.request(ENTRY_URL, None, extra=extra)) == 401
        assert await version_for(client, public(f"{ADA}_Review"), []) == "1.0.0"
        assert status(await client.request("/-/live", None)) == 200
        head = await client.request(ENTRY_URL, None, extra=ben, method="HEAD")
        assert (status(head), body(head)) == (200, b"")

    running("dependencies", scenario)


def test_plugins(site: Site) -> None:
    async def scenario(client: Client, _names: dict[str, Any]) -> None:
        async def put(slug: str) -> tuple[int, bytes]:
            answer = await client.request(
                f"/my/plugins/{slug}", None, extra=session(BEN), method="PUT"
            )
            return status(answer), body(answer)

        url = ENTRY_URL.replace("Review", "Eyes")
        assert await version_for(client, url, session(BEN)) == "not_installed"
        assert await put("Eyes") == (200, b'"2.0.0"')
        assert await version_for(client, url, session(BEN)) == "2.0.0"
        assert (await put("a b"))[0] == 422
        assert (await put("Unknown"))[0] == 404

    running("plugins", scenario)
    (record, _) = AuditLog(site.plugins / "audit").records()
    assert (record["by"], record["via"], record["action"]) == (BEN, "application", "install")


def test_openapi(site: Site) -> None:
    async def scenario(client: Client, names: dict[str, Any]) -> None:
        document = json.loads(body(await client.request("/openapi.json", None)))
        path = "/assets/api/v1/plugins/manifest"
        assert document["paths"][path]["get"]["operationId"] == "gateway_getManifest"
        assert status(await client.request(path, ADA)) == 200
        assert b"/openapi.json" in body(await client.request("/docs", None))

    running("openapi", scenario)


def test_release(site: Site, tmp_path: Path) -> None:
    build = tmp_path / "build"
    (build / "dist").mkdir(parents=True)
    (build / "plugin.json").write_text('{"slug": "Review", "version": "3.0.0"}')
    (build / ENTRY).write_text("window.Review = {}")
    assert asyncio.run(example("release")["release"](build, [ADA, BEN])) == "3.0.0"
    rows = site.query("SELECT user_id, version FROM plugin WHERE plugin_slug = 'Review'")
    assert {row["user_id"]: row["version"] for row in rows} == {ADA: "3.0.0", BEN: "3.0.0"}


def test_announced(site: Site) -> None:
    async def main() -> None:
        names = example("announced")
        gateway: Gateway = names["gateway"]
        async with gateway.running():
            client = Client(gateway)
            ada = [(b"authorization", f"Bearer {token(ADA)}".encode())]
            assert await version_for(client, ENTRY_URL, ada) == "1.0.0"
            await names["take_away"](ADA, "Review")
            assert await version_for(client, ENTRY_URL, ada) == "unknown_plugin"

    asyncio.run(main())


def test_signed(site: Site) -> None:
    async def scenario(client: Client, _names: dict[str, Any]) -> None:
        page = body(await client.request(f"/pages/{BEN}", None)).decode()
        (url,) = re.findall(r'src="(.*?)"', page)
        assert await version_for(client, url, []) == "1.0.1"
        chunk = await client.request(url.replace("remoteEntry", "1"), None)
        assert body(chunk) == b"/* chunk of Review 1.0.1 */"

    running("signed", scenario)


def test_storage(site: Site) -> None:
    folder_of = example("storage")["folder_of"]
    assert folder_of(BEN, "Eyes", "2.0.0") == site.version_folder("Eyes", "2.0.0")
    assert folder_of(BEN, "Eyes", "9.9.9") is None
    with pytest.raises(ValueError, match="not a user id"):
        folder_of("../../evil", "Eyes", "2.0.0")


def test_fastapi_runs_no_dependency_for_what_is_mounted(site: Site) -> None:
    """Why a dependency protects the gateway only in the ways of the page."""

    def refuse() -> None:
        raise HTTPException(403)

    async def main() -> None:
        gateway = create_app(settings_without_a_secret(site), user=named_in_header)
        app = FastAPI(dependencies=[Depends(refuse)], lifespan=lambda _app: gateway.running())
        app.get("/own")(lambda: "nobody reads this")
        app.mount("/", gateway)
        async with app.router.lifespan_context(app):
            assert status(await Client(app).request("/own", None)) == 403
            assert await version_for(Client(app), ENTRY_URL, as_user(ADA)) == "1.0.0"

    asyncio.run(main())


def test_a_cors_middleware_around_the_gateway_speaks_for_all_its_urls(site: Site) -> None:
    origin = b"https://app.example"
    extra = [*as_user(ADA), (b"origin", origin)]

    async def main() -> None:
        settings = settings_without_a_secret(site, GATEWAY__IDENTITY__ADMIN_USERS=ADA)
        gateway = create_app(settings, user=named_in_header)
        around = CORSMiddleware(gateway, allow_origins=[origin.decode()], allow_credentials=True)
        allowed = b"access-control-allow-origin"
        async with gateway.running():
            for path in (ENTRY_URL, "/-/cache"):
                assert allowed not in fields(await Client(gateway).request(path, None, extra=extra))
                answer = await Client(around).request(path, None, extra=extra)
                assert (status(answer), fields(answer)[allowed]) == (200, origin)

    asyncio.run(main())


def test_every_example_of_the_page_is_run() -> None:
    assert len(EXAMPLES) == PAGE.count("```python")
    assert {f"test_{name}" for name in EXAMPLES} <= globals().keys()


@pytest.mark.slow
def test_the_examples_pass_mypy_in_a_folder_of_their_own(tmp_path: Path) -> None:
    """As in an application that has the gateway installed, without our configuration."""
    for name, text in EXAMPLES.items():
        (tmp_path / f"{name}.py").write_text(text)
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from gateway import Site, create_app\n"
        "create_app(user=lambda request: 7)\n"
        "async def f(site: Site) -> None:\n"
        "    (await site.install('ada', 'Review')).nothing\n"
    )
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={CACHE}", "."],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [line for line in result.stdout.splitlines() if ": error:" in line]
    assert [line.partition(": error:")[0] for line in complaints] == ["wrong.py:2", "wrong.py:4"], (
        result.stdout
    )
