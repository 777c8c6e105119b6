"""From `gateway publish` to the bytes that a real proxy sends by itself."""

from pathlib import Path

import pytest

from gateway.disk.storage import PluginStorage
from gateway.disk.tree_files import difference_path
from tests.conftest import require_program
from tests.support.commands import run
from tests.support.dictionaries import NEW, OLD, asking, decoded, digest_of
from tests.support.proxies import DELIVERY, proxy_before
from tests.support.server import serving
from tests.support.site import ADA, Site
from tests.support.urls import ENTRY, pin_of, public
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


def publish(site: Site, version: str, content: bytes) -> None:
    source = site.folder / f"source-{version}"
    (source / "dist").mkdir(parents=True)
    (source / "plugin.json").write_text(f'{{"slug": "Review", "version": "{version}"}}')
    (source / ENTRY).write_bytes(content)
    assert run(site.environment, "publish", str(source)).exit_code == 0


@pytest.mark.parametrize(("proxy", "mode"), [("nginx", "authorize"), ("caddy", "accel")])
def test_the_proxy_sends_what_publishing_made(
    empty_site: Site, tmp_path: Path, proxy: str, mode: str
) -> None:
    site, program = empty_site, require_program(proxy)
    publish(site, "1.0.0", OLD)
    site.give(ADA, "Review", "1.0.0")
    publish(site, "1.0.1", NEW)
    site.execute("UPDATE plugin SET version = '1.0.1'")
    environment = {**site.environment, "GATEWAY__DELIVERY__MODE": DELIVERY[mode]}
    trees = PluginStorage(site.plugins).cache.pinned_trees
    with serving(environment) as gateway:
        pin = pin_of(gateway, ADA, "Review")
        tree = trees / "Review" / pin
        eventually(tree.is_dir, bool)
    # A gateway that starts adds the differences that trees lack; after that, every ten seconds.
    with (
        serving(environment) as gateway,
        proxy_before(gateway, environment, program, proxy, mode, tmp_path / "proxy") as front,
    ):
        kept = difference_path(tree / ENTRY, digest_of(OLD))
        eventually(kept.is_file, bool, deadline_s=60)
        url = public("Review", f"{pin}/{ENTRY}")
        fields = {**asking(OLD), "Sec-Fetch-Site": "same-origin", "Host": "localhost"}
        # The gateway's ETag has 32 digits; a proxy makes its own of time and size.
        answer = eventually(
            lambda: front.get(url, fields), lambda it: len(it.headers.get("etag", " " * 32)) < 30
        )
    assert answer.headers["content-encoding"] == "dcz"
    assert decoded(answer.body, OLD) == NEW
