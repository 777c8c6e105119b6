"""What lint says about a plugin beside those that are published."""

from pathlib import Path
from typing import Any

import pytest

from gateway.lint.findings import Code
from tests.bundles.support import build
from tests.lint.support import ENTRY, findings, make_plugin, sentences


def requiring(range_: str) -> dict[str, str]:
    """An entry whose container requires React in this range, as rspack writes it."""
    return {ENTRY: build("rspack").replace("^18.2.0", range_)}


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return tmp_path / "shared"


def publish(shared: Path, slug: str, version: str, **plugin: Any) -> None:
    make_plugin(shared / slug / f"v{version}", **plugin)


def test_singletons_that_exclude_one_another_are_a_warning(tmp_path: Path, shared: Path) -> None:
    publish(shared, "Old", "1.0.0", files=requiring("^17.0.0"))
    publish(shared, "Same", "1.0.0", files=requiring("^18.0.0"))
    assert sentences(findings(make_plugin(tmp_path / "plugin"), shared=shared)) == [
        "singleton_conflict: dist/remoteEntry.js: it requires the singleton react ^18.2.0, which"
        " excludes that of Old 1.0.0 (^17.0.0): a page that shows both gives one of them a version"
        " that it does not support; build for a version that both support"
    ]


def test_only_the_newest_version_of_another_plugin_counts(tmp_path: Path, shared: Path) -> None:
    publish(shared, "Other", "1.9.0", files=requiring("^17.0.0"))
    publish(shared, "Other", "1.10.0", files=requiring("^18.0.0"))
    assert findings(make_plugin(tmp_path / "plugin"), shared=shared) == []


def test_an_older_version_of_itself_does_not_conflict(tmp_path: Path, shared: Path) -> None:
    publish(shared, "MyCard", "0.9.0", files=requiring("^17.0.0"))
    assert findings(make_plugin(tmp_path / "plugin"), shared=shared) == []


def test_other_plugins_that_cannot_be_read_are_passed_over(tmp_path: Path, shared: Path) -> None:
    publish(shared, "Broken", "1.0.0", files={"plugin.json": "{"})
    publish(shared, "Remote", "1.0.0", bundle_location="https://cdn.example/remoteEntry.js")
    publish(shared, "Gone", "1.0.0", files={ENTRY: None})
    publish(shared, "Outside", "1.0.0", bundle_location="../../../secret.js")
    secret = requiring("^17.0.0")[ENTRY]
    (tmp_path / "secret.js").write_text(secret)
    link = shared / "Linked" / "v1.0.0" / ENTRY
    publish(shared, "Linked", "1.0.0", files={ENTRY: None, "dist/other.js": ""})
    link.symlink_to(tmp_path / "secret.js")
    (shared / "file").write_text("")
    (shared / "not a slug").mkdir()
    (shared / "Empty").mkdir()
    assert findings(make_plugin(tmp_path / "plugin"), shared=shared) == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            200_000,
            400_000,
            "grown: the plugin has 406,083 bytes, 97 % more than in 0.9.0;"
            " look for what the bundler took in",
        ),
        (200_000, 290_000, None),  # less than half more
        (10_000, 50_000, None),  # small plugins may double
        (400_000, 200_000, None),
    ],
)
def test_growth_against_the_version_before_is_a_warning(
    tmp_path: Path, shared: Path, before: int, after: int, expected: str | None
) -> None:
    map_file = {"dist/345.0011aabb.js.map": "x" * 1_000_000}
    publish(shared, "MyCard", "0.9.0", files={"dist/345.0011aabb.js": "x" * before})
    publish(shared, "MyCard", "1.0.0", files={})
    publish(shared, "MyCard", "1.1.0", files={})
    files = {"dist/345.0011aabb.js": "x" * after, **map_file}
    found = findings(make_plugin(tmp_path / "plugin", files=files), shared=shared)
    sentences_ = [it for it in sentences(found) if it.startswith("grown")]
    assert sentences_ == ([] if expected is None else [expected])


def test_an_entry_that_grew_is_named(tmp_path: Path, shared: Path) -> None:
    publish(shared, "MyCard", "0.9.0")
    large = build("webpack").replace("(()=>{", "(()=>{" + " " * 60_000, 1)
    found = findings(make_plugin(tmp_path / "plugin", files={ENTRY: large}), shared=shared)
    assert [it.code for it in found] == [Code.GROWN, Code.GROWN]
    assert found[1].text.startswith("the entry dist/remoteEntry.js has ")


def test_a_version_before_that_publish_would_refuse_is_not_compared(
    tmp_path: Path, shared: Path
) -> None:
    publish(shared, "MyCard", "0.9.0")
    (shared / "MyCard" / "v0.9.0" / "link").symlink_to(tmp_path)
    files = {"dist/345.0011aabb.js": "x" * 500_000}
    found = findings(make_plugin(tmp_path / "plugin", files=files), shared=shared)
    assert [it.code for it in found] == [Code.UNREFERENCED_FILES]
