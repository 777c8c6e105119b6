"""`Gateway.site` and `open_site`: an application does in its own code what the commands do."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import ConfigurationError, Gateway, create_app
from gateway.disk.audit_log import AuditLog
from gateway.errors import (
    AlreadyInstalled,
    AssetNotFound,
    AssetTypeNotAllowed,
    InvalidRequest,
    NoEarlierVersion,
    NotInstalled,
    PublishingError,
    StorageError,
    UnknownPlugin,
    VersionNotPublished,
)
from gateway.names import parse_or_none, parse_slug, parse_user_id, parse_version
from gateway.site import Site as GatewaySite
from gateway.site import open_site
from tests.support.asgi import Client, body, status
from tests.support.embedding import (
    as_user,
    named_in_header,
    settings_without_a_secret,
    version_for,
    with_embedded,
)
from tests.support.settings import QUIET
from tests.support.site import ADA, BEN, Site, contents, populated
from tests.support.urls import ENTRY, ENTRY_URL, SIGNED_ENVIRONMENT, own
from tests.support.waiting import until_answer

Scenario = Callable[[Gateway, Client], Awaitable[None]]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return populated(tmp_path / "site")


def with_site(site: Site, scenario: Scenario, **environment: str) -> None:
    """Nothing but what the application announces makes the gateway ask again."""
    with_embedded(site, named_in_header, scenario, **QUIET, **SIGNED_ENVIRONMENT, **environment)


def built(folder: Path, version: str, slug: str = "Review") -> Path:
    """A plugin as a bundler makes it, to be published."""
    (folder / "dist").mkdir(parents=True)
    (folder / "plugin.json").write_text(f'{{"slug": "{slug}", "version": "{version}"}}')
    (folder / ENTRY).write_text(f"/* {slug} {version} */")
    return folder


def test_each_change_shows_at_the_next_request(site: Site, tmp_path: Path) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        async def version() -> str:
            return await version_for(client, ENTRY_URL, as_user(BEN))

        plugins = gateway.site
        assert await version() == "1.0.1"
        published = await plugins.publish(built(tmp_path / "build", "2.0.0"))
        assert (published.slug, published.version, published.is_new) == ("Review", "2.0.0", True)
        outcome = await plugins.update(BEN, "Review")
        assert (outcome.version, outcome.previous_version) == ("2.0.0", "1.0.1")
        assert await version() == "2.0.0"
        assert (await plugins.rollback(BEN, "Review")).version == "1.0.1"
        assert await version() == "1.0.1"
        assert (await plugins.update(BEN, "Review", "1.0.0")).changed
        assert await version() == "1.0.0"
        assert (await plugins.disable(BEN, "Review")).enabled is False
        assert await version() == "plugin_disabled"
        assert (await plugins.enable(BEN, "Review")).enabled is True
        assert await version() == "1.0.0"
        assert (await plugins.uninstall(BEN, "Review")).version is None
        assert await version() == "not_installed"
        assert (await plugins.install(BEN, "Review", "1.0.1")).database_id == f"{BEN}_Review"
        assert await version() == "1.0.1"
        assert not (await plugins.install(BEN, "Review")).changed

    with_site(site, scenario)


def test_a_version_that_is_published_later_shows_at_once(site: Site, tmp_path: Path) -> None:
    site.give(BEN, "New", "1.0.0")

    async def scenario(gateway: Gateway, client: Client) -> None:
        url = own("New")
        assert await version_for(client, url, as_user(BEN)) == "version_not_published"
        await gateway.site.publish(built(tmp_path / "build", "1.0.0", "New"))
        assert await version_for(client, url, as_user(BEN)) == "1.0.0"

    with_site(site, scenario)


def test_a_user_with_dashes_in_their_id_is_the_same_user(site: Site) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        await gateway.site.update("bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb", "Review", "1.0.0")
        assert await version_for(client, ENTRY_URL, as_user(BEN)) == "1.0.0"

    with_site(site, scenario)


def test_changes_are_recorded_with_whom_the_application_names(site: Site, tmp_path: Path) -> None:
    async def scenario(gateway: Gateway, _client: Client) -> None:
        await gateway.site.publish(built(tmp_path / "build", "2.0.0"), by="ada")
        await gateway.site.update(BEN, "Review", by="ada")
        with pytest.raises(NotInstalled):
            await gateway.site.uninstall(BEN, "Eyes")

    with_site(site, scenario)
    records = AuditLog(site.plugins / "audit").records()
    assert [(it["by"], it["via"], it["action"], it["result"]) for it in records] == [
        ("ada", "application", "publish", "done"),
        ("ada", "application", "update", "done"),
        ("application", "application", "uninstall", "not_installed"),
    ]


def test_what_cannot_be_done_is_an_error_of_its_kind_and_changes_nothing(
    site: Site, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    wrong_url = {"source_url": "javascript:x"}
    calls: list[tuple[type[Exception], Callable[[GatewaySite], Awaitable[object]]]] = [
        (PublishingError, lambda it: it.publish(tmp_path / "empty")),
        (PublishingError, lambda it: it.publish(str(tmp_path / "missing"))),
        (PublishingError, lambda it: it.publish(built(tmp_path / "1", "1.0.0"))),
        (AlreadyInstalled, lambda it: it.install(BEN, "Review", "1.0.0")),
        (VersionNotPublished, lambda it: it.update(BEN, "Review", "9.9.9")),
        (VersionNotPublished, lambda it: it.install(BEN, "Unknown")),
        (NotInstalled, lambda it: it.uninstall(BEN, "Unknown")),
        (UnknownPlugin, lambda it: it.disable(BEN, "Unknown")),
        (NoEarlierVersion, lambda it: it.rollback(BEN, "Review")),
        (StorageError, lambda it: it.install(BEN, "Eyes", installation_metadata={"x": object()})),
        (ValueError, lambda it: it.install(BEN, "Eyes", installation_metadata=wrong_url)),
        (ValueError, lambda it: it.update(BEN, "Review", "v1.0.0")),
    ]
    before = contents(site.plugins, "users", "shared"), site.query("SELECT * FROM plugin")

    async def scenario(gateway: Gateway, client: Client) -> None:
        for error, call in calls:
            with pytest.raises(error):
                await call(gateway.site)
        assert await version_for(client, ENTRY_URL, as_user(BEN)) == "1.0.1"

    with_site(site, scenario)
    assert (contents(site.plugins, "users", "shared"), site.query("SELECT * FROM plugin")) == before


EVIL: list[Any] = ["../../evil", "..", "", "a/b", "a\0b", "/etc", "\ud800", None, 7]
# Names that are left out are None, and so are no mistake.
EVIL_IF_NAMED = [it for it in EVIL if it is not None]


def calls_with(evil: Any) -> dict[str, Callable[[GatewaySite], Awaitable[object]]]:
    async def sign(site: GatewaySite, user: Any, slug: Any) -> str:
        return site.sign(user, slug)

    source = Path("nothing is read")
    calls: dict[str, Callable[[GatewaySite], Awaitable[object]]] = {
        "install: user": lambda it: it.install(evil, "Review"),
        "install: slug": lambda it: it.install(ADA, evil),
        "update: user": lambda it: it.update(evil, "Review"),
        "update: slug": lambda it: it.update(ADA, evil),
        "rollback: user": lambda it: it.rollback(evil, "Review"),
        "rollback: slug": lambda it: it.rollback(ADA, evil),
        "enable: user": lambda it: it.enable(evil, "Review"),
        "enable: slug": lambda it: it.enable(ADA, evil),
        "disable: user": lambda it: it.disable(evil, "Review"),
        "disable: slug": lambda it: it.disable(ADA, evil),
        "uninstall: user": lambda it: it.uninstall(evil, "Review"),
        "uninstall: slug": lambda it: it.uninstall(ADA, evil),
        "sign: user": lambda it: sign(it, evil, "Review"),
        "sign: slug": lambda it: sign(it, ADA, evil),
        "announce: user": lambda it: it.announce(user=evil),
        "announce: slug": lambda it: it.announce(slug=evil),
    }
    if evil is None:
        return calls
    return calls | {
        "publish: slug": lambda it: it.publish(source, slug=evil),
        "publish: version": lambda it: it.publish(source, version=evil),
        "install: version": lambda it: it.install(ADA, "Review", evil),
        "update: version": lambda it: it.update(ADA, "Review", evil),
        "rollback: version": lambda it: it.rollback(ADA, "Review", evil),
        "announce: version": lambda it: it.announce(slug="Review", version=evil),
    }


def refuse_all(site: Site, evil: Any) -> None:
    """Every method refuses it, wherever it stands, and nothing is written."""
    before = contents(site.folder.parent)

    async def main() -> None:
        settings = settings_without_a_secret(site, **SIGNED_ENVIRONMENT)
        async with open_site(settings) as plugins:
            for name, call in calls_with(evil).items():
                with pytest.raises(ValueError, match=r"^(not a |expected)"):
                    pytest.fail(f"{name}: {await call(plugins)!r}")

    asyncio.run(main())
    assert contents(site.folder.parent) == before


@pytest.mark.parametrize("evil", EVIL)
def test_every_name_is_checked_by_every_method(site: Site, evil: Any) -> None:
    refuse_all(site, evil)


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return populated(tmp_path_factory.mktemp("shared") / "site")


def is_no_name(text: str) -> bool:
    parsers = (parse_user_id, parse_slug, parse_version)
    return all(parse_or_none(parse, text) is None for parse in parsers)


@given(evil=st.text(max_size=30).filter(is_no_name))
def test_no_text_that_is_no_name_reaches_a_file(shared_site: Site, evil: str) -> None:
    refuse_all(shared_site, evil)


# Announcing


def test_what_the_application_writes_itself_shows_when_it_is_announced(site: Site) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        async def got() -> list[str]:
            return [await version_for(client, ENTRY_URL, as_user(user)) for user in (ADA, BEN)]

        assert await got() == ["1.0.0", "1.0.1"]
        site.execute("UPDATE plugin SET version = '1.0.1' WHERE plugin_slug = 'Review'")
        assert await got() == ["1.0.0", "1.0.1"]
        await gateway.site.announce(user=ADA)
        assert await got() == ["1.0.1", "1.0.1"]
        site.publish("Review", "1.0.1", {ENTRY: "/* Review rebuilt */"})
        assert await got() == ["1.0.1", "1.0.1"]
        await gateway.site.announce(slug="Review", version="1.0.0")
        assert await got() == ["1.0.1", "1.0.1"]
        await gateway.site.announce(slug="Review", version="1.0.1")
        assert await got() == ["rebuilt", "rebuilt"]

    with_site(site, scenario)


@pytest.mark.parametrize("nothing", [{}, {"version": "1.0.0"}, {"user": ADA, "version": "1.0.0"}])
def test_an_announcement_says_what_was_changed(site: Site, nothing: dict[str, str]) -> None:
    async def main() -> None:
        async with open_site(settings_without_a_secret(site)) as plugins:
            with pytest.raises(ValueError, match=r"expected a .*slug"):
                await plugins.announce(**nothing)

    asyncio.run(main())


def test_a_job_of_the_application_tells_the_gateways_that_serve(site: Site, tmp_path: Path) -> None:
    source = built(tmp_path / "build", "2.0.0")

    async def scenario(_gateway: Gateway, client: Client) -> None:
        async def version() -> str:
            return await version_for(client, ENTRY_URL, as_user(BEN))

        assert await version() == "1.0.1"
        async with open_site(settings_without_a_secret(site)) as plugins:
            await plugins.publish(source)
            await plugins.update(BEN, "Review")
            await until_answer(version, "2.0.0".__eq__)
            site.execute("DELETE FROM plugin WHERE user_id = ?", BEN)
            await plugins.announce(user=BEN)
        await until_answer(version, "unknown_plugin".__eq__)

    with_site(site, scenario)


def test_a_caller_who_goes_away_leaves_no_version_that_nobody_knows_of(
    site: Site, tmp_path: Path
) -> None:
    site.give(BEN, "New", "1.0.0")
    source = built(tmp_path / "build", "1.0.0", "New")

    async def scenario(gateway: Gateway, client: Client) -> None:
        url = own("New")
        assert await version_for(client, url, as_user(BEN)) == "version_not_published"
        task = asyncio.ensure_future(gateway.site.publish(source))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await version_for(client, url, as_user(BEN)) == "1.0.0"

    with_site(site, scenario)
    assert [it["action"] for it in AuditLog(site.plugins / "audit").records()] == ["publish"]


# Signing


def test_a_signed_url_serves_the_users_version_to_anybody(site: Site) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        folder = gateway.site.sign(ADA, "Review")
        assert folder.endswith("/plugins/Review/")
        for url in (folder + ENTRY, gateway.site.sign(ADA, "Review", ENTRY, ttl_s=60)):
            assert await version_for(client, url, []) == "1.0.0"
        chunk = await client.request(gateway.site.sign(ADA, "Review", "dist/1.js"), None)
        assert (status(chunk), body(chunk)) == (200, b"/* chunk of Review 1.0.0 */")

    with_site(site, scenario)


def test_what_cannot_be_signed_is_refused(site: Site) -> None:
    signing = create_app(
        settings_without_a_secret(site, **SIGNED_ENVIRONMENT), user=named_in_header
    ).site
    for ttl_s in (0, -1, 86_401):
        with pytest.raises(InvalidRequest):
            signing.sign(ADA, "Review", ttl_s=ttl_s)
    for path in ("../a.js", "/a.js", ".env", "a//b.js", "a\\b.js"):
        with pytest.raises(AssetNotFound):
            signing.sign(ADA, "Review", path)
    with pytest.raises(AssetTypeNotAllowed):
        signing.sign(ADA, "Review", "dist/")
    assert signing.sign(ADA, "Review", "a b?.js").endswith("/Review/a%20b%3F.js")
    with pytest.raises(ConfigurationError, match=r"identity\.signed\.secret"):
        create_app(settings_without_a_secret(site), user=named_in_header).site.sign(ADA, "Review")
