"""Pinned trees learn the differences that browsers ask the gateway for."""

from gateway.disk.storage import PluginStorage
from gateway.disk.tree_files import difference_path
from tests.support.dictionaries import NEW, OLD, asking, decoded, digest_of
from tests.support.server import serving
from tests.support.site import ADA, Site, bearer
from tests.support.urls import ENTRY, own, pin_of
from tests.support.waiting import eventually


def test_what_a_browser_asks_the_gateway_for_is_the_proxys_from_then_on(empty_site: Site) -> None:
    """The dictionary is older than those with which the tree is compared anyway."""
    site = empty_site
    site.publish("Review", "1.0.0", {ENTRY: OLD})
    for number in range(1, 6):
        site.publish("Review", f"1.0.{number}", {ENTRY: b"/* %d */\n" % number + OLD})
    site.publish("Review", "1.1.0", {ENTRY: NEW})
    site.give(ADA, "Review", "1.1.0")
    with serving({**site.environment, "GATEWAY__DELIVERY__MODE": "authorize"}) as server:
        pin = pin_of(server, ADA, "Review")
        tree = PluginStorage(site.plugins).cache.pinned_trees / "Review" / pin
        eventually(tree.is_dir, bool)
        fields = {**bearer(ADA), **asking(OLD)}
        answer = eventually(
            lambda: server.get(own("Review", f"{pin}/{ENTRY}"), fields),
            lambda it: it.headers.get("content-encoding") == "dcz",
        )
        kept = difference_path(tree / ENTRY, digest_of(OLD))
        eventually(kept.is_file, bool)
        assert kept.read_bytes() == answer.body
        assert decoded(answer.body, OLD) == NEW
