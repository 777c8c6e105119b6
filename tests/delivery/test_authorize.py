"""`/-/authorize` and the trees of pinned builds, without a proxy."""

import hashlib
import shutil
from pathlib import Path

import pytest

from gateway.disk.builds import look_at
from gateway.disk.encoder import Encoder
from gateway.disk.pinned_trees import PinnedTrees
from gateway.disk.storage import PluginStorage
from gateway.names import Pin, Slug, Version
from gateway.settings import DEFAULT_SUFFIXES
from tests.support.server import Answer, Server, server_of
from tests.support.site import ADA, BEN, NOBODY, Site, bearer
from tests.support.urls import SIGNED_ENVIRONMENT, capability, own, pin_of, public, signed
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

TTL_S = 4
REVIEW = Slug("Review")
ONE = Version("1.0.0")


server = server_of(
    {
        **SIGNED_ENVIRONMENT,
        "GATEWAY__DELIVERY__MODE": "authorize",
        "GATEWAY__DELIVERY__AUTHORIZE_TTL": str(TTL_S),
        "GATEWAY__CACHE__VERSIONS__TTL": "3",  # ends before the permission would
    }
)


def ask(server: Server, path: str, headers: dict[str, str]) -> Answer:
    return server.get("/-/authorize", {**headers, "X-Original-URI": path})


def test_a_permission_names_root_and_tree(server: Server, site: Site) -> None:
    pin = pin_of(server, ADA, "Review")
    for path, headers in (
        (own("Review"), bearer(ADA)),
        (own("Review") + "?v=1.0.0", bearer(ADA)),
        (own("Review", f"{pin}/dist/1.js"), bearer(ADA)),
        (own("Review", "dist/nothing.js"), bearer(ADA)),
        (public(f"{ADA}_Review"), {}),
        (public("Review", f"{pin}/dist/1.js"), {}),
        (signed(capability(ADA, "Review"), "Review"), {}),
    ):
        answer = eventually(
            lambda path=path, headers=headers: ask(server, path, headers),  # type: ignore[misc]
            lambda answer: answer.headers.get("x-plugin-tree") != "-",
        )
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["x-plugin-root"] == "Review/v1.0.0"
        assert answer.headers["x-plugin-tree"] == f"Review/{pin}"
        assert answer.headers["cache-control"] == "no-store"
        assert (site.plugins / "cache/pinned" / answer.headers["x-plugin-tree"]).is_dir()


def test_a_permission_never_outlives_what_it_rests_on(server: Server) -> None:
    """`ttl` is 3 seconds, less its jitter, and the proxy's clock may be a second behind."""
    pin = pin_of(server, ADA, "Review")
    answers = [ask(server, own("Review"), bearer(ADA)) for _ in range(5)]
    assert all(int(answer.headers["x-accel-expires"]) <= 2 for answer in answers)
    short = ask(server, own("Review"), bearer(ADA, ttl_s=1.5))
    assert short.headers["x-accel-expires"] == "0"
    # By a pin nobody's rights are asked for.
    unbound = ask(server, public("Review", f"{pin}/dist/1.js"), {})
    assert unbound.headers["x-accel-expires"] == str(TTL_S)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (own("Review"), {}),
        (own("Review"), {"Authorization": "Bearer x"}),
        (own("Review"), bearer(NOBODY)),
        (own("Eyes"), bearer(BEN)),
        (own("Review", "page.html"), bearer(ADA)),
        (own("Review", "%2e%2e/x.js"), bearer(ADA)),
        (own("Review", "@1.0.0~0123456789abcdef/dist/1.js"), bearer(ADA)),
        (public("Review"), {}),
        (signed("x.y", "Review"), {}),
    ],
)
def test_a_refusal_is_the_one_of_the_file(
    server: Server, path: str, headers: dict[str, str]
) -> None:
    answer, expected = ask(server, path, headers), server.get(path, headers)
    assert (answer.status, answer.body) == (expected.status, expected.body)
    assert answer.status >= 400
    for name in ("x-plugin-root", "x-plugin-tree", "x-accel-expires"):
        assert name not in answer.headers
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["/", "/-/live", "/api/v1/plugins", "relative.js", "/api/v2/x/y.js"]
)
def test_what_is_no_route_of_files_is_not_found(server: Server, path: str) -> None:
    assert ask(server, path, bearer(ADA)).status == 404


def test_a_question_without_a_path_or_with_two_is_malformed(server: Server) -> None:
    assert server.get("/-/authorize", bearer(ADA)).code == "invalid_request"
    twice = b"X-Original-URI: /a\r\n" * 2
    answer = server.raw(
        b"GET /-/authorize HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + twice + b"\r\n"
    )
    assert b" 422 " in answer.splitlines()[0]


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Site, PinnedTrees]:
    site = Site(tmp_path / "site")
    site.publish("Review", "1.0.0", {"dist/a.js": b"a" * 1000, "dist/b.css": b"b", "x.html": b"x"})
    storage = PluginStorage(site.plugins)
    encoder = Encoder(storage.cache.encoded)
    return site, PinnedTrees(storage, encoder, DEFAULT_SUFFIXES, 2**20)


def kept(site: Site, trees: PinnedTrees) -> Path:
    state = look_at(site.version_folder("Review", "1.0.0"), None)
    assert state is not None
    trees.keep(REVIEW, ONE, state)
    return trees.path(REVIEW, Pin(ONE, state.build))


def test_a_tree_holds_what_may_be_served_and_its_variants(trees: tuple[Site, PinnedTrees]) -> None:
    tree = kept(*trees)
    found = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
    assert found == {"dist/a.js", "dist/a.js.br", "dist/a.js.gz", "dist/a.js.zst", "dist/b.css"}


def test_times_are_made_of_the_content(trees: tuple[Site, PinnedTrees]) -> None:
    """So nginx makes the same ETag of it on every node."""
    for path in kept(*trees).rglob("*.*"):
        digest = hashlib.sha256(path.read_bytes()).digest()
        assert path.stat().st_mtime == 1 + int.from_bytes(digest[:4], "big") // 4


def test_a_folder_that_changes_meanwhile_becomes_no_tree(trees: tuple[Site, PinnedTrees]) -> None:
    site, keeper = trees
    folder = site.version_folder("Review", "1.0.0")
    state = look_at(folder, None)
    assert state is not None
    (folder / "dist/b.css").write_bytes(b"written over")
    keeper.keep(REVIEW, ONE, state)
    assert list(keeper.folder.rglob("*")) in ([], [keeper.folder / "Review"])


def test_a_retired_tree_is_removed_and_others_stay(trees: tuple[Site, PinnedTrees]) -> None:
    site, keeper = trees
    first = kept(site, keeper)
    site.publish("Review", "1.0.0", {"dist/a.js": b"other"})
    other = keeper.path(REVIEW, Pin(Version("1.0"), first.name[-16:]))  # type: ignore[arg-type]
    other.mkdir()
    second = kept(site, keeper)
    assert (first.exists(), second.is_dir(), other.is_dir()) == (False, True, True)
    shutil.rmtree(site.version_folder("Review", "1.0.0"))
    keeper.look_again()
    assert (second.exists(), other.exists()) == (False, False)  # neither version has a folder


def test_a_cache_that_is_deleted_meanwhile_is_filled_again(
    trees: tuple[Site, PinnedTrees], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, keeper = trees

    def delete(*_: object) -> dict[str, bytes]:
        shutil.rmtree(keeper.folder)
        return {}

    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "make_now", delete)
        assert not kept(site, keeper).exists()
    assert kept(site, keeper).is_dir()


def test_what_a_killed_gateway_left_is_swept(trees: tuple[Site, PinnedTrees]) -> None:
    site, keeper = trees
    left = keeper.folder / ".making-x"
    left.mkdir(parents=True)
    (left / "a.js").write_bytes(b"half")
    kept(site, keeper)
    assert not left.exists()
    assert [path.name for path in keeper.folder.iterdir()] == ["Review"]
