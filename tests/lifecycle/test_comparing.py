"""Publishing makes the differences from the versions that users have."""

import asyncio
import hashlib
import sys
from pathlib import Path

import pytest

from gateway.disk.differences import Differences
from gateway.disk.storage import PluginStorage
from gateway.lifecycle import comparing
from gateway.lifecycle.comparing import compare, held_versions
from gateway.lifecycle.publishing import publish
from gateway.names import Slug
from gateway.settings import Settings, load_settings
from gateway.site import open_site
from tests.support.commands import run
from tests.support.dictionaries import asking, decoded
from tests.support.server import serving
from tests.support.site import ADA, BEN, Site, bearer
from tests.support.urls import ENTRY, own, pin_of

LINES = b"".join(b"export const value%d = %d;\n" % (n, n * n) for n in range(200))


def content_of(version: str) -> bytes:
    return f"/* {version} */\n".encode() + LINES


def digest_of(version: str) -> bytes:
    return hashlib.sha256(content_of(version)).digest()


@pytest.fixture
def site(empty_site: Site) -> Site:
    """Ada has 1.0.0 and Ben 1.1.0; nobody has 1.2.0 any more."""
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        publish(PluginStorage(empty_site.plugins), source_of(empty_site, version))
    empty_site.give(ADA, "Review", "1.0.0")
    empty_site.give(BEN, "Review", "1.1.0")
    empty_site.give(ADA, "Other", "1.2.0")
    return empty_site


def source_of(site: Site, version: str) -> Path:
    folder = site.folder / f"source-{version}"
    (folder / "dist").mkdir(parents=True)
    (folder / "plugin.json").write_text(f'{{"slug": "Review", "version": "{version}"}}')
    (folder / "dist" / "remoteEntry.js").write_bytes(content_of(version))
    return folder


def settings_of(site: Site, **variables: str) -> Settings:
    return load_settings(environ={**site.environment, **variables})


def compared(site: Site, new: str = "2.0.0") -> set[str]:
    """The versions from which a difference to the new one is kept."""
    differences = Differences(PluginStorage(site.plugins).cache, 2**20)
    return {
        old
        for old in ("1.0.0", "1.1.0", "1.2.0")
        if differences.load(digest_of(new), digest_of(old), content_of(new), content_of(old))
    }


def test_the_command_compares_with_the_versions_that_users_have(site: Site) -> None:
    result = run(site.environment, "publish", str(source_of(site, "2.0.0")))
    assert result.exit_code == 0
    assert "published Review 2.0.0" in result.stdout
    assert compared(site) == {"1.0.0", "1.1.0"}


@pytest.mark.slow
def test_the_first_browser_that_comes_gets_the_difference(site: Site) -> None:
    run(site.environment, "publish", str(source_of(site, "2.0.0")))
    site.execute("UPDATE plugin SET version = '2.0.0' WHERE user_id = ?", ADA)
    with serving(site.environment) as server:
        url = own("Review", f"{pin_of(server, ADA, 'Review')}/{ENTRY}")
        answer = server.get(url, {**bearer(ADA), **asking(content_of("1.0.0"))})
    assert answer.headers["content-encoding"] == "dcz"
    assert decoded(answer.body, content_of("1.0.0")) == content_of("2.0.0")


def test_an_application_that_publishes_compares_too(site: Site) -> None:
    async def scenario() -> None:
        async with open_site(settings_of(site)) as plugins:
            await plugins.publish(source_of(site, "2.0.0"))

    asyncio.run(scenario())
    assert compared(site) == {"1.0.0", "1.1.0"}


def test_publishing_again_makes_what_is_missing(site: Site) -> None:
    command = ("publish", str(source_of(site, "2.0.0")))
    run(site.environment, *command)
    for path in PluginStorage(site.plugins).cache.differences.rglob("*.dcz"):
        path.unlink()
    assert "is there already" in run(site.environment, *command).stdout
    assert compared(site) == {"1.0.0", "1.1.0"}


def test_without_a_database_the_newest_versions_count(site: Site) -> None:
    missing = site.folder / "missing.db"
    environment = {**site.environment, "GATEWAY__DATABASE__URL": f"sqlite:///{missing}"}
    result = run(environment, "publish", str(source_of(site, "2.0.0")))
    assert result.exit_code == 0
    assert "database" not in result.stderr
    assert compared(site) == {"1.0.0", "1.1.0", "1.2.0"}
    assert not missing.exists()


def test_a_database_without_the_table_is_not_asked(site: Site) -> None:
    site.execute("DROP TABLE plugin")
    assert asyncio.run(held_versions(settings_of(site), Slug("Review"))) is None


def test_without_the_driver_of_postgresql_nothing_is_asked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    settings = settings_of(site, GATEWAY__DATABASE__URL="postgresql://gateway@127.0.0.1:1/none")
    assert asyncio.run(held_versions(settings, Slug("Review"))) is None


def test_held_versions_are_those_of_the_slug(either_site: Site) -> None:
    """On SQLite and on PostgreSQL."""
    rows = either_site.query("SELECT plugin_slug, version FROM plugin")
    expected = {row["version"] for row in rows if row["plugin_slug"] == "Review"}
    assert len(expected) > 1
    assert asyncio.run(held_versions(settings_of(either_site), Slug("Review"))) == expected


def compare_now(site: Site, **variables: str) -> None:
    storage = PluginStorage(site.plugins)
    published = publish(storage, source_of(site, "2.0.0"))
    compare(settings_of(site, **variables), storage, published, None)


@pytest.mark.parametrize(
    ("variable", "value"), [("CACHE__DIFFERENCES__MAX_BYTES", "0"), ("HTTP__DICTIONARIES", "false")]
)
def test_none_is_made_if_none_is_kept_or_sent(site: Site, variable: str, value: str) -> None:
    compare_now(site, **{f"GATEWAY__{variable}": value})
    assert not PluginStorage(site.plugins).cache.differences.exists()


def test_it_ends_in_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "_MOST_S", -1.0)
    compare_now(site)
    assert compared(site) == set()


def test_a_disk_that_fails_is_a_warning(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_given: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("gateway.disk.pairs.Pairs.make", fail)
    compare_now(site)
    assert "cannot compare Review 2.0.0 with earlier versions" in caplog.text
