"""Manifests put together from parts that users share."""

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.database.connections import Row
from gateway.database.details import ModuleDetails, PluginDetails, read_row
from gateway.names import Build, UserId
from gateway.serving.formats import bare_plugin, module_objects
from gateway.serving.manifests import Manifest, Parts, PluginPart
from gateway.serving.shared_versions import PinnedEntry
from tests.support.urls import integrity_of

ADA, BEN = UserId("a" * 32), UserId("b" * 32)
FACTS = (1, 2, 3)
BUILD = Build("4f2a9c1b73d05e86")
INTEGRITY = integrity_of(b"an entry")


def plugin_row(user: str = ADA, slug: str | None = "Review", **columns: Any) -> Row:
    """A row as `fetch_plugins` returns it; columns that are not named are NULL."""
    row: dict[str, Any] = dict.fromkeys(field.name for field in fields(PluginDetails))
    row |= {
        "id": f"{user}_{slug}",
        "user_id": user,
        "plugin_slug": slug,
        "version": "1.0.0",
        "enabled": 1,
        "bundle_location": "dist/remoteEntry.js",
    }
    return tuple((row | columns).values())


def module_row(user: str = ADA, slug: str = "Review", name: str = "Main", **columns: Any) -> Row:
    row: dict[str, Any] = dict.fromkeys(field.name for field in fields(ModuleDetails))
    row |= {
        "id": f"{user}_{slug}_{name}",
        "plugin_id": f"{user}_{slug}",
        "user_id": user,
        "name": name,
        "enabled": 1,
    }
    return tuple((row | columns).values())


def assembled(
    *plugins: Row,
    user: UserId = ADA,
    modules: list[Row] | None = None,
    metadata: dict[str, dict[str, Any]] | None = None,
    parts: Parts | None = None,
) -> Manifest:
    by_plugin: dict[str, list[Row]] = {}
    for module in modules or ():
        by_plugin.setdefault(module[1], []).append(module)
    return (parts or Parts(pins=True)).assemble(
        user, plugins, None if modules is None else by_plugin, metadata, FACTS
    )


def shown(manifest: Manifest, user: UserId = ADA) -> dict[str, Any]:
    answer: dict[str, Any] = orjson.loads(manifest.body(user))
    return answer


def expected(
    row: Row, location: str | None, metadata: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What the application shows of a row, and how it was given to us to show it."""
    plugin = read_row(PluginDetails, row)
    answer = {
        **bare_plugin(plugin),
        "bundlelocation": location,
        "installation_metadata": metadata or {},
    }
    if plugin.plugin_slug:
        answer |= {"id": plugin.plugin_slug, "database_id": plugin.id}
    return answer


FULL: dict[str, Any] = {
    "last_updated": "2025-03-06",
    "last_update_check": "2026-01-02 03:04:05",
    "config_fields": '{"theme": {"default": null}}',
    "created_at": "2026-01-02 03:04:05",
    "name": 'ümläuts, "quotes", \\u0000, \\ and </script>',
    "description": "a NUL: \0, a line\nand another",
    "official": 1,
    "is_local": 0,
    "downloads": 42,
    "permissions": '["api.access"]',
    "messages": "{broken",
    "dependencies": '["\\u0000"]',
}


# Texts


def test_a_row_is_shown_with_the_keys_and_values_of_the_application() -> None:
    row, metadata = plugin_row(**FULL), {"installed_at": "2026-01-02"}
    answer = shown(assembled(row, metadata={"Review": metadata}))
    assert answer == {"Review": expected(row, "dist/remoteEntry.js", metadata)}


values = st.none() | st.text() | st.integers(-(2**53), 2**53) | st.binary() | st.booleans()
free = {
    field.name: values
    for field in fields(PluginDetails)
    if field.name not in {"id", "user_id", "plugin_slug", "enabled", "version", "bundle_location"}
}


@given(
    columns=st.fixed_dictionaries(free),
    slug=st.sampled_from(["Review", "", None, "a\0b", 'quo"te', "new\nline"]),
    database_id=st.sampled_from([None, "elsewhere", f"{BEN}_Review", ADA, "\0\n"]),
    owner=st.sampled_from([ADA, "A" * 32, None, 7]),
)
def test_whatever_a_row_holds_it_is_shown_as_it_is_outside_of_a_manifest(
    columns: dict[str, Any], slug: str | None, database_id: str | None, owner: object
) -> None:
    if database_id is not None:
        columns["id"] = database_id
    row = plugin_row(slug=slug, **columns, user_id=owner)
    manifest = assembled(row)
    key = slug or read_row(PluginDetails, row).id
    answer = orjson.loads(orjson.dumps(expected(row, "dist/remoteEntry.js"), default=_text))
    assert shown(manifest) == {key: answer}


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


@pytest.mark.parametrize("slug", ["", None])
def test_a_row_without_a_slug_is_known_by_its_id_alone(slug: str | None) -> None:
    row = plugin_row(slug=slug, id=f"{ADA}_", bundle_location="/dist/r.js")
    answer = shown(assembled(row))
    assert answer == {f"{ADA}_": expected(row, "/dist/r.js")}
    assert "database_id" not in answer[f"{ADA}_"]


def test_dates_may_be_real_ones() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    entry = shown(assembled(plugin_row(last_updated=moment, last_update_check=moment)))["Review"]
    assert entry["lastUpdated"] == str(moment)
    assert entry["lastUpdateCheck"] == str(moment).replace(" ", "T", 1)


def test_a_column_that_the_driver_has_parsed_is_shown_too() -> None:
    row = plugin_row(permissions=["api.access"], config_fields={"a": 1})
    manifest = assembled(row, modules=[module_row(tags=["x"], config_fields={"b": 2})])
    entry = shown(manifest)["Review"]
    assert (entry["permissions"], entry["configFields"]) == (["api.access"], {"a": 1})
    (module,) = entry["modules"]
    assert (module["tags"], module["configFields"]) == (["x"], {"b": 2})


def test_plugins_are_shown_in_the_order_of_the_rows() -> None:
    slugs = ["10", "9", "Apple", "Zebra", "_under", "apple"]
    assert list(shown(assembled(*(plugin_row(slug=slug) for slug in slugs)))) == slugs


def test_of_rows_with_the_same_name_the_last_is_shown() -> None:
    rows = [plugin_row(id=name, name=name) for name in ("first", "last")]
    answer = assembled(*rows, plugin_row(slug="Zebra"))
    assert [entry["name"] for entry in shown(answer).values()] == ["last", None]
    assert answer.body(ADA).count(b'"Review":') == 1


def test_without_plugins_the_manifest_is_an_empty_object() -> None:
    manifest = assembled(plugin_row(enabled=0))
    assert manifest.body(ADA) == b"{}"
    assert not manifest.parts


@pytest.mark.parametrize(
    ("enabled", "metadata", "is_shown"),
    [
        (1, {"Review": {}}, True),
        (0, {"Review": {}}, False),
        ("no", {"Review": {}}, False),
        (1, {}, False),
        (1, {"review": {}}, False),
        (1, None, True),
        (0, None, False),
    ],
)
def test_what_is_disabled_or_not_installed_is_not_shown(
    enabled: object, metadata: dict[str, dict[str, Any]] | None, is_shown: bool
) -> None:
    assert bool(shown(assembled(plugin_row(enabled=enabled), metadata=metadata))) is is_shown


# Modules


@pytest.mark.parametrize("names", [[], ["Main"], ["Zoom", "Alpha", "Main"]])
def test_modules_are_shown_in_the_order_of_their_rows(names: list[str]) -> None:
    columns = {"props": '{"a": 1}', "messages": "{", "config_fields": '{"x": null}'}
    modules = [module_row(name=name, **columns) for name in names]
    rows = [plugin_row(slug="Eyes"), plugin_row(), plugin_row(slug="Zebra")]
    answer = shown(assembled(*rows, modules=modules))
    assert list(answer) == ["Eyes", "Review", "Zebra"]
    assert answer["Eyes"]["modules"] == answer["Zebra"]["modules"] == []
    assert answer["Review"]["modules"] == module_objects(
        (read_row(ModuleDetails, row) for row in modules), "Review"
    )


@pytest.mark.parametrize(
    "columns",
    [
        {"id": f"{ADA}_Main"},
        {"id": "Main"},
        {"id": b"\xff"},
        {"user_id": None},
        {"user_id": BEN},
        {"user_id": 7},
        {"priority": b"\xff", "name": None},
    ],
)
def test_a_module_with_odd_ids_is_shown_with_them(columns: dict[str, Any]) -> None:
    row = module_row(**columns)
    (answer,) = shown(assembled(plugin_row(), modules=[row]))["Review"]["modules"]
    (as_it_is,) = module_objects([read_row(ModuleDetails, row)], "Review")
    assert answer == orjson.loads(orjson.dumps(as_it_is, default=_text))


def test_a_module_of_a_plugin_without_a_slug_names_its_id() -> None:
    row = plugin_row(slug="", id=f"{ADA}_")
    manifest = assembled(row, modules=[module_row(plugin_id=f"{ADA}_")])
    (module,) = shown(manifest)[f"{ADA}_"]["modules"]
    assert module["pluginId"] == f"{ADA}_"


# What is shared


def test_users_with_the_same_plugins_share_their_parts() -> None:
    """Their ids, dates, configuration and metadata differ."""
    parts = Parts(pins=True)
    manifests = [
        assembled(
            plugin_row(user, name="x", last_updated=day, config_fields=f'{{"day": "{day}"}}'),
            user=user,
            modules=[module_row(user, config_fields=f'{{"day": "{day}"}}', props='{"a": 1}')],
            metadata={"Review": {"installed_at": day}},
            parts=parts,
        )
        for user, day in ((ADA, "2026-01-02"), (BEN, "2026-03-04"))
    ]
    first, second = (manifest.parts for manifest in manifests)
    assert len(first) == 2
    assert all(mine is theirs for mine, theirs in zip(first, second, strict=True))
    ben = shown(manifests[1], BEN)["Review"]
    assert ben["userId"] == ben["modules"][0]["userId"] == BEN
    assert ben["database_id"] == f"{BEN}_Review"
    assert ben["modules"][0]["id"] == f"{BEN}_Review_Main"
    days = [
        ben["lastUpdated"],
        ben["configFields"]["day"],
        ben["modules"][0]["configFields"]["day"],
    ]
    assert days == ["2026-03-04"] * 3
    assert ADA.encode() not in manifests[1].body(BEN)


@pytest.mark.parametrize("column", ["version", "name", "permissions", "enabled", "latest_version"])
def test_what_differs_otherwise_is_another_part(column: str) -> None:
    parts = Parts(pins=True)
    first, second = (
        assembled(plugin_row(user, **{column: value}), user=user, parts=parts)
        for user, value in ((ADA, "1"), (BEN, "true"))
    )
    assert first.parts[0] is not second.parts[0]


# Pins


def part_of(manifest: Manifest) -> PluginPart:
    part = manifest.parts[0]
    assert isinstance(part, PluginPart)
    return part


def location(manifest: Manifest) -> object:
    return shown(manifest)["Review"]["bundlelocation"]


def test_a_location_is_pinned_to_the_build_of_the_folder() -> None:
    manifest = assembled(plugin_row(bundle_location="/dist/r.js"))
    part = part_of(manifest)
    assert part.place == ("Review", "1.0.0", "dist/r.js")
    assert part.until < 0
    assert location(manifest) == "dist/r.js"
    part.pin(PinnedEntry(BUILD, None), 5.0, 1)
    assert (part.until, part.epoch) == (5.0, 1)
    assert location(manifest) == f"@1.0.0~{BUILD}/dist/r.js"
    assert "integrity" not in shown(manifest)["Review"]
    part.pin(None, 9.0, 2)
    assert location(manifest) == "dist/r.js"


@pytest.mark.parametrize(
    "columns",
    [
        {"bundle_location": None},
        {"bundle_location": "https://cdn.example/r.js"},
        {"bundle_location": "//cdn.example/r.js"},
        {"bundle_location": "../r.js"},
        {"version": "../1"},
        {"version": None},
        {"slug": ""},
    ],
)
def test_what_cannot_be_pinned_has_no_folder_and_needs_no_look(columns: dict[str, Any]) -> None:
    part = part_of(assembled(plugin_row(**columns)))
    assert part.place is None
    assert part.until == part.epoch == float("inf")


def test_pins_can_be_switched_off() -> None:
    assert part_of(assembled(plugin_row(), parts=Parts(pins=False))).place is None


def test_the_integrity_of_what_is_pinned_stands_right_after_the_location() -> None:
    manifest = assembled(plugin_row(), modules=[module_row()])
    part_of(manifest).pin(PinnedEntry(BUILD, INTEGRITY), 5.0, 1)
    entry = shown(manifest)["Review"]
    keys = list(entry)
    assert entry["integrity"] == INTEGRITY
    assert keys.index("integrity") == keys.index("bundlelocation") + 1
    assert entry["preload"] == [{"href": entry["bundlelocation"], "integrity": INTEGRITY}]
    part_of(manifest).pin(None, 9.0, 2)
    assert "integrity" not in shown(manifest)["Review"]


@pytest.mark.parametrize("known", [set(), {1}, {0, 2}, {0, 1, 2}])
@pytest.mark.parametrize("with_modules", [False, True])
def test_plugins_without_integrity_can_be_left_out(known: set[int], with_modules: bool) -> None:
    slugs = ["Eyes", "Off", "Review"]
    rows = [plugin_row(slug=slug, name=f'{slug} \u00fc,}}{{"') for slug in slugs]
    modules = [module_row(slug=slug, name=name) for slug in slugs[1:] for name in ("A", "B")]
    manifest = assembled(*rows, modules=modules if with_modules else None)
    places = [place for place, it in enumerate(manifest.parts) if isinstance(it, PluginPart)]
    for number, place in enumerate(places):
        part = manifest.parts[place]
        assert isinstance(part, PluginPart)
        part.pin(PinnedEntry(BUILD, INTEGRITY if number in known else None), 5.0, 1)
    whole = shown(manifest)
    listed = manifest.only_with_integrity()
    assert shown(listed) == {slugs[number]: whole[slugs[number]] for number in sorted(known)}
    assert listed.fingerprint == manifest.fingerprint
    assert (listed is manifest) is (len(known) == 3)


def test_what_is_preloaded_is_named_as_urls_are() -> None:
    manifest = assembled(plugin_row())
    part_of(manifest).pin(PinnedEntry(BUILD, INTEGRITY, (("dist/a b%.js", "sha384-x"),)), 5.0, 1)
    assert shown(manifest)["Review"]["preload"][1:] == [
        {"href": f"@1.0.0~{BUILD}/dist/a%20b%25.js", "integrity": "sha384-x"}
    ]


def test_a_text_is_written_when_the_entry_changes_and_not_at_each_look() -> None:
    part = part_of(assembled(plugin_row()))
    part.pin(PinnedEntry(BUILD, INTEGRITY), 5.0, 1)
    text = part.text
    part.pin(PinnedEntry(BUILD, INTEGRITY), 9.0, 2)
    assert (part.text is text, part.until, part.epoch) == (True, 9.0, 2)


# ETags


def test_bodies_that_differ_have_different_tags() -> None:
    parts = Parts(pins=True)
    manifests = [
        (assembled(parts=parts), ADA),
        (assembled(plugin_row(), parts=parts), ADA),
        (assembled(plugin_row(BEN), user=BEN, parts=parts), BEN),
        (assembled(plugin_row(last_updated="x"), parts=parts), ADA),
        (assembled(plugin_row(name="x"), parts=parts), ADA),
        (assembled(plugin_row(), parts=parts, metadata={"Review": {"a": 1}}), ADA),
        (assembled(plugin_row(), parts=parts, modules=[]), ADA),
        (assembled(plugin_row(), parts=parts, modules=[module_row()]), ADA),
    ]
    bodies = [manifest.body(user) for manifest, user in manifests]
    tags = [manifest.tag(user) for manifest, user in manifests]
    assert len(set(bodies)) == len(set(tags)) == len(manifests)


def test_a_tag_changes_with_the_pin_and_back() -> None:
    manifest = assembled(plugin_row())
    tags = []
    for entry in (None, PinnedEntry(BUILD, None), PinnedEntry(BUILD, INTEGRITY), None):
        part_of(manifest).pin(entry, 0.0, 0)
        tags.append(manifest.tag(ADA))
    assert tags[0] == tags[3]
    assert len(set(tags)) == 3


def test_the_tag_is_the_same_on_every_node() -> None:
    """Another node has parts of its own."""
    assert assembled(plugin_row()).tag(ADA) == assembled(plugin_row()).tag(ADA)
