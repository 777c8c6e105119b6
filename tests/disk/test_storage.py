"""`plugins/` on disk: the storage calls, atomic writes, and files that must not be opened."""

import errno
import json
import multiprocessing
import os
import socket
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.context import SpawnProcess
from pathlib import Path
from shutil import rmtree
from typing import Any, NoReturn

import pytest

from gateway.disk.storage import BrokenInstallations, PluginStorage, write_atomically
from gateway.errors import AssetNotFound, StorageError, VersionNotPublished
from gateway.names import AssetPath, Slug, UserId, Version

ADA = UserId("a" * 32)
BEN = UserId("b" * 32)
REVIEW = Slug("Review")
EYES = Slug("Eyes")
V1 = Version("1.0.0")
SCRIPT = AssetPath("dist/remoteEntry.js")
NOBODY = 65534

MINIMAL = {"Review": {"installation_metadata": {"installation_type": "production"}}}
OLD = {
    "Review": {
        "version": "1.0.28",
        "shared_path": "/etc",
        "installed_at": "2025-06-16T10:11:12.131415",
        "enabled": True,
        "user_config": {"theme": "dark"},
        "installation_metadata": {"installation_type": "migrated"},
    }
}
# BrainDrive-Core, and what else happens to files: 0 bytes, half written, not an object.
BROKEN = [
    pytest.param(b"", id="0 bytes"),
    pytest.param(b" \n", id="only space"),
    pytest.param(b'{"Review": {"installation_me', id="half written"),
    pytest.param(b'{"Review": {}} x', id="text behind"),
    pytest.param(b"{'Review': {}}", id="not JSON"),
    pytest.param(b'["Review"]', id="list"),
    pytest.param(b'"Review"', id="string"),
    pytest.param(b"null", id="null"),
    pytest.param(b"1", id="number"),
    pytest.param(b"\xff\xfe{\x00}\x00", id="UTF-16"),
    pytest.param(b'{"\xff": {}}', id="not UTF-8"),
    pytest.param(b"\x00" * 4096, id="NULs, as after a power cut"),
    pytest.param(b'{"Review":' + b"[" * 10_000, id="deeply nested"),
    pytest.param(b" " * (8 * 2**20) + b"{}", id="larger than any of ours"),
]

posix_only = pytest.mark.skipif(os.name != "posix", reason="POSIX file types")


@pytest.fixture
def storage(tmp_path: Path) -> PluginStorage:
    return PluginStorage(tmp_path / "plugins")


def write(storage: PluginStorage, content: object, user: UserId = ADA) -> Path:
    """The user's file with `content` as JSON; bytes are written as they are."""
    path = storage.installations_file(user)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def written(storage: PluginStorage, user: UserId = ADA) -> Any:
    return json.loads(storage.installations_file(user).read_bytes())


def publish(storage: PluginStorage, version: Version = V1) -> Path:
    folder = storage.construct_shared_path(REVIEW, version)
    (folder / "dist").mkdir(parents=True)
    (folder / "dist" / "remoteEntry.js").write_text(f"/* {version} */")
    return folder


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def open_files() -> int | None:
    """How many descriptors this process holds; None where the system does not tell."""
    folder = Path("/proc/self/fd")
    return len(names_in(folder)) if folder.is_dir() else None


@contextmanager
def without_privileges() -> Iterator[None]:
    """Permissions count: root reads everything, so root becomes nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


# Paths


def test_paths_are_constructed_from_names(tmp_path: Path) -> None:
    storage = PluginStorage(tmp_path)
    assert storage.construct_shared_path(REVIEW, V1) == tmp_path / "shared" / "Review" / "v1.0.0"
    assert storage.installations_file(ADA) == (
        tmp_path / "users" / f"user_{ADA}" / "installed_plugins.json"
    )


# Reading what a user has installed


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(MINIMAL, {"Review": {"installation_type": "production"}}, id="minimal"),
        pytest.param(OLD, {"Review": {"installation_type": "migrated"}}, id="old format"),
        pytest.param({}, {}, id="empty object"),
        pytest.param({"Review": {}}, {"Review": {}}, id="empty inner object"),
        pytest.param({"Review": None}, {"Review": {}}, id="null inner object"),
        pytest.param({"Review": "x"}, {"Review": {}}, id="inner string"),
        pytest.param({"Review": []}, {"Review": {}}, id="inner list"),
        pytest.param({"Review": {"installation_metadata": None}}, {"Review": {}}, id="null"),
        pytest.param({"Review": {"installation_metadata": [1]}}, {"Review": {}}, id="list"),
        pytest.param(
            {**MINIMAL, "Eyes": {"installation_metadata": {"installed_by": "x", "free": [1]}}},
            {
                "Review": {"installation_type": "production"},
                "Eyes": {"installed_by": "x", "free": [1]},
            },
            id="several",
        ),
    ],
)
def test_the_keys_of_the_file_are_what_is_installed(
    storage: PluginStorage, document: object, expected: dict[str, Any]
) -> None:
    write(storage, document)
    assert storage.read_installations(ADA) == expected
    assert storage.get_all_user_plugins(ADA) == expected
    for slug in (REVIEW, EYES):
        assert storage.plugin_exists_for_user(ADA, slug) is (slug in expected)
        assert storage.get_user_plugin_metadata(ADA, slug) == expected.get(slug)


@pytest.mark.parametrize("missing", ["file", "folder", "root", "folder is a file"])
def test_a_user_without_a_file_has_nothing_and_that_is_no_error(
    storage: PluginStorage, missing: str
) -> None:
    folder = storage.installations_file(ADA).parent
    if missing == "file":
        folder.mkdir(parents=True)
    elif missing == "folder":
        storage.users.mkdir(parents=True)
    elif missing == "folder is a file":
        storage.users.mkdir(parents=True)
        folder.write_text("")
    assert storage.read_installations(ADA) is None
    assert storage.get_all_user_plugins(ADA) == {}
    assert not storage.plugin_exists_for_user(ADA, REVIEW)
    assert storage.get_user_plugin_metadata(ADA, REVIEW) is None


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_file_is_told_from_a_missing_one_and_installs_nothing(
    storage: PluginStorage, content: bytes
) -> None:
    path = write(storage, content)
    with pytest.raises(BrokenInstallations) as caught:
        storage.read_installations(ADA)
    assert str(path) in str(caught.value)
    assert storage.get_all_user_plugins(ADA) == {}
    assert not storage.plugin_exists_for_user(ADA, REVIEW)
    assert storage.get_user_plugin_metadata(ADA, REVIEW) is None


def test_a_folder_in_the_files_place_is_a_storage_error(storage: PluginStorage) -> None:
    storage.installations_file(ADA).mkdir(parents=True)
    with pytest.raises(StorageError, match="cannot be read") as caught:
        storage.read_installations(ADA)
    assert not isinstance(caught.value, BrokenInstallations)
    with pytest.raises(StorageError, match="cannot be read"):
        storage.get_all_user_plugins(ADA)


@posix_only
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_special_file_in_the_files_place_is_a_storage_error(
    storage: PluginStorage, make: Callable[[Path], None]
) -> None:
    path = storage.installations_file(ADA)
    path.parent.mkdir(parents=True)
    make(path)
    for read in (storage.read_installations, storage.read_content, storage.restorer):
        with pytest.raises(StorageError, match="not a regular file") as caught:
            read(ADA)
        assert not isinstance(caught.value, BrokenInstallations)


@posix_only
def test_a_file_that_cannot_be_looked_at_is_no_missing_one(storage: PluginStorage) -> None:
    path = storage.installations_file(ADA)
    assert storage.installations_facts(ADA) is None
    path.parent.mkdir(parents=True)
    assert storage.installations_facts(ADA) is None
    path.symlink_to(path.name)
    with pytest.raises(StorageError, match="cannot be looked at"):
        storage.installations_facts(ADA)


@posix_only
def test_an_unreadable_file_is_a_storage_error_and_not_an_empty_one(
    storage: PluginStorage,
) -> None:
    path = write(storage, MINIMAL)
    path.chmod(0)
    with without_privileges(), pytest.raises(StorageError, match="cannot be read") as caught:
        storage.read_installations(ADA)
    assert not isinstance(caught.value, BrokenInstallations)


def test_a_file_that_is_replaced_is_read_anew(storage: PluginStorage) -> None:
    path = write(storage, MINIMAL)
    assert storage.plugin_exists_for_user(ADA, REVIEW)
    other = path.with_name("other")
    other.write_text('{"Eyes": {}}')
    other.replace(path)
    assert list(storage.get_all_user_plugins(ADA)) == ["Eyes"]


@pytest.mark.parametrize(
    ("document", "published", "found"),
    [
        (MINIMAL, True, True),
        (OLD, True, True),
        (MINIMAL, False, False),
        ({"Eyes": {}}, True, False),
        (b"", True, False),
    ],
)
def test_a_user_has_a_path_if_the_plugin_is_installed_and_its_folder_exists(
    storage: PluginStorage, document: object, published: bool, found: bool
) -> None:
    write(storage, document)
    folder = publish(storage) if published else None
    assert storage.get_user_plugin_path(ADA, REVIEW, V1) == (folder if found else None)


def test_the_path_is_the_versions_own_whatever_an_old_file_claims(storage: PluginStorage) -> None:
    write(storage, OLD)
    publish(storage, Version("1.0"))
    folder = publish(storage, Version("1.0.1"))
    assert storage.get_user_plugin_path(ADA, REVIEW, Version("1.0.1")) == folder
    assert storage.get_user_plugin_path(ADA, REVIEW, Version("1.0.28")) is None


def test_a_file_in_the_versions_place_is_no_path(storage: PluginStorage) -> None:
    write(storage, MINIMAL)
    path = storage.construct_shared_path(REVIEW, V1)
    path.parent.mkdir(parents=True)
    path.write_text("")
    assert storage.get_user_plugin_path(ADA, REVIEW, V1) is None


# Registering and unregistering


def test_registering_writes_the_minimal_format(storage: PluginStorage) -> None:
    storage.register_user_plugin(ADA, REVIEW, {"source_url": "https://example.org/x"})
    document = written(storage)
    assert list(document) == ["Review"]
    assert list(document["Review"]) == ["installation_metadata"]
    metadata = document["Review"]["installation_metadata"]
    assert metadata["installation_type"] == "production"
    assert metadata["source_url"] == "https://example.org/x"
    assert storage.get_user_plugin_metadata(ADA, REVIEW) == metadata


def test_registering_dates_the_installation(storage: PluginStorage) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    storage.register_user_plugin(ADA, REVIEW)
    stated = written(storage)["Review"]["installation_metadata"]["installed_at"]
    assert before <= datetime.fromisoformat(stated) <= datetime.now(UTC)


def test_given_metadata_wins_over_the_defaults(storage: PluginStorage) -> None:
    given = {"installation_type": "local", "installed_at": "2025-06-10T07:30:00Z"}
    storage.register_user_plugin(ADA, REVIEW, given)
    assert storage.get_user_plugin_metadata(ADA, REVIEW) == given


def test_registering_leaves_other_plugins_as_they_are(storage: PluginStorage) -> None:
    write(storage, {**OLD, "Odd": None})
    storage.register_user_plugin(ADA, EYES)
    document = written(storage)
    assert list(document) == ["Review", "Odd", "Eyes"]
    assert document["Review"] == OLD["Review"]
    assert document["Odd"] is None


def test_registering_again_replaces_the_old_format(storage: PluginStorage) -> None:
    write(storage, OLD)
    storage.register_user_plugin(ADA, REVIEW)
    assert list(written(storage)["Review"]) == ["installation_metadata"]


def test_registering_is_for_one_user(storage: PluginStorage) -> None:
    storage.register_user_plugin(ADA, REVIEW)
    assert storage.read_installations(BEN) is None


BAD_USERS = ["../../evil", "a/../../evil", "..", "", "/etc", "a\0b", "a\nb", None, 7]


@pytest.mark.parametrize("user", BAD_USERS)
def test_no_call_leaves_the_folder_of_a_user(storage: PluginStorage, user: Any) -> None:
    """A program that uses this class passes on what it was sent."""
    storage.root.mkdir()
    calls: list[Callable[[], object]] = [
        lambda: storage.register_user_plugin(user, REVIEW),
        lambda: storage.unregister_user_plugin(user, REVIEW),
        lambda: storage.get_all_user_plugins(user),
        lambda: storage.get_user_plugin_metadata(user, REVIEW),
        lambda: storage.plugin_exists_for_user(user, REVIEW),
        lambda: storage.get_user_plugin_path(user, REVIEW, V1),
        lambda: storage.installations_file(user),
        lambda: storage.locked(user).__enter__(),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="not a user id"):
            call()
    assert list(storage.root.parent.rglob("*")) == [storage.root]


@pytest.mark.parametrize(
    ("slug", "version"),
    [
        ("../../evil", "1.0.0"),
        ("Review", "/../../evil"),
        ("", "1.0.0"),
        ("Review", ""),
        (None, None),
    ],
)
def test_no_path_leaves_the_folder_of_all_versions(
    storage: PluginStorage, slug: Any, version: Any
) -> None:
    for call in (
        lambda: storage.construct_shared_path(slug, version),
        lambda: storage.is_published(slug, version),
        lambda: storage.get_user_plugin_path(ADA, slug, version),
        lambda: storage.open_asset(slug, version, SCRIPT),
    ):
        with pytest.raises(ValueError, match=r"not a (plugin slug|version)"):
            call()


def test_a_slug_that_names_no_folder_is_not_registered(storage: PluginStorage) -> None:
    with pytest.raises(ValueError, match="not a plugin slug"):
        storage.register_user_plugin(ADA, Slug("../../evil"))
    assert storage.read_installations(ADA) is None


def test_a_users_id_with_dashes_is_the_same_user(storage: PluginStorage) -> None:
    storage.register_user_plugin(UserId("aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"), REVIEW)
    assert storage.plugin_exists_for_user(ADA, REVIEW)


def test_a_document_that_cannot_be_written_again_is_left_alone(storage: PluginStorage) -> None:
    """orjson reads 1024 levels and writes 254."""
    content = b'{"Review": {"installation_metadata":' + b"[" * 500 + b"]" * 500 + b"}}"
    path = write(storage, content)
    with pytest.raises(StorageError, match="cannot be written"):
        storage.register_user_plugin(ADA, EYES)
    assert path.read_bytes() == content


@pytest.mark.parametrize("inner", [MINIMAL["Review"], OLD["Review"], {}, None])
def test_unregistering_takes_the_plugin_out(storage: PluginStorage, inner: object) -> None:
    # BrainDrive-Core: the inner object may be empty or null.
    write(storage, {"Review": inner, "Eyes": {}})
    assert storage.plugin_exists_for_user(ADA, REVIEW)
    assert storage.unregister_user_plugin(ADA, REVIEW) is True
    assert written(storage) == {"Eyes": {}}
    assert not storage.plugin_exists_for_user(ADA, REVIEW)
    assert storage.unregister_user_plugin(ADA, REVIEW) is False


def test_unregistering_the_last_plugin_leaves_an_empty_object(storage: PluginStorage) -> None:
    write(storage, MINIMAL)
    storage.unregister_user_plugin(ADA, REVIEW)
    assert storage.read_installations(ADA) == {}


def test_unregistering_what_is_not_there_writes_nothing(storage: PluginStorage) -> None:
    path = write(storage, MINIMAL)
    before = path.stat()
    assert storage.unregister_user_plugin(ADA, EYES) is False
    assert storage.unregister_user_plugin(BEN, EYES) is False
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not storage.installations_file(BEN).parent.exists()


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_file_is_never_written_over(storage: PluginStorage, content: bytes) -> None:
    path = write(storage, content)
    with pytest.raises(BrokenInstallations):
        storage.register_user_plugin(ADA, EYES)
    with pytest.raises(BrokenInstallations):
        storage.unregister_user_plugin(ADA, REVIEW)
    assert path.read_bytes() == content
    assert names_in(path.parent) == [path.name]


def test_a_folder_in_the_files_place_is_not_written_over(storage: PluginStorage) -> None:
    path = storage.installations_file(ADA)
    path.mkdir(parents=True)
    with pytest.raises(StorageError):
        storage.register_user_plugin(ADA, EYES)
    assert path.is_dir()
    assert names_in(path.parent) == [path.name]


def test_the_cache_folder_may_vanish_between_two_writes(storage: PluginStorage) -> None:
    storage.register_user_plugin(ADA, REVIEW)
    rmtree(storage.cache)
    storage.register_user_plugin(ADA, EYES)
    assert list(written(storage)) == ["Review", "Eyes"]


# Atomic writes


def refuse(*_arguments: object, **_options: object) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_write_leaves_the_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    before = open_files()
    write_atomically(path, b"old, and longer")
    write_atomically(path, b"new")
    assert open_files() == before
    assert path.read_bytes() == b"new"
    assert names_in(tmp_path) == ["x.json"]


@posix_only
def test_a_written_file_can_be_read_by_the_other_programs_of_the_site(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x.json", b"")
    assert stat.S_IMODE((tmp_path / "x.json").stat().st_mode) == 0o644


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_content_and_nothing_beside_it(
    storage: PluginStorage, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = write(storage, MINIMAL)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(StorageError, match="cannot be written") as caught:
            storage.register_user_plugin(ADA, EYES)
    assert str(path) in str(caught.value)
    assert written(storage) == MINIMAL
    assert names_in(path.parent) == [path.name]


def test_content_is_on_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, steps = tmp_path / "x.json", []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        facts = os.fstat(descriptor)
        steps.append("folder" if stat.S_ISDIR(facts.st_mode) else f"file of {facts.st_size}")
        fsync(descriptor)

    def noted_replace(source: Any, target: Any) -> None:
        steps.append("rename")
        assert Path(source).parent == Path(target).parent
        assert Path(source).read_bytes() == b"content"
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_atomically(path, b"content")
    assert steps == ["file of 7", "rename", *(["folder"] if os.name == "posix" else [])]


@posix_only
def test_a_folder_that_may_not_be_written_to_is_a_storage_error(storage: PluginStorage) -> None:
    path = write(storage, MINIMAL)
    path.parent.chmod(0o555)
    with without_privileges(), pytest.raises(StorageError):
        storage.register_user_plugin(ADA, EYES)
    path.parent.chmod(0o755)
    assert written(storage) == MINIMAL
    assert names_in(path.parent) == [path.name]


# Other processes

_PROCESSES = 3
_EACH = 15
_SPAWN = multiprocessing.get_context("spawn")


def register_many(root: Path, number: int, ready: Any, go: Any) -> None:
    """In a process of its own: registers some plugins, and takes one away again."""
    storage = PluginStorage(root)
    ready.release()
    go.wait()
    for count in range(_EACH):
        storage.register_user_plugin(ADA, Slug(f"P{number}-{count}"))
    storage.unregister_user_plugin(ADA, Slug(f"Seed{number}"))


def die_at_rename(root: Path, *, after: bool) -> None:
    """In a process of its own: is killed just before or just after the rename."""
    replace = os.replace

    def fatal(source: Any, target: Any) -> NoReturn:
        if after:
            replace(source, target)
        os._exit(9)

    os.replace = fatal  # type: ignore[assignment]  # (this process ends there)
    PluginStorage(root).register_user_plugin(ADA, EYES)


@pytest.mark.slow
def test_registrations_by_several_processes_lose_nothing_and_readers_see_whole_files(
    storage: PluginStorage,
) -> None:
    write(storage, {f"Seed{number}": {} for number in range(_PROCESSES)} | {"Kept": None})
    ready, go = _SPAWN.Semaphore(0), _SPAWN.Event()
    processes: list[SpawnProcess] = [
        _SPAWN.Process(target=register_many, args=(storage.root, number, ready, go), daemon=True)
        for number in range(_PROCESSES)
    ]
    for process in processes:
        process.start()
    for _ in processes:
        assert ready.acquire(timeout=30)
    go.set()
    reads = 0
    while any(process.is_alive() for process in processes):
        seen = storage.read_installations(ADA)  # BrokenInstallations, if ever half written
        assert seen is not None
        assert "Kept" in seen
        reads += 1
    for process in processes:
        process.join()
        assert process.exitcode == 0
    expected = {f"P{number}-{count}" for number in range(_PROCESSES) for count in range(_EACH)}
    assert set(written(storage)) == expected | {"Kept"}
    assert reads > _PROCESSES
    assert names_in(storage.installations_file(ADA).parent) == ["installed_plugins.json"]


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
def test_a_writer_that_is_killed_leaves_the_old_state_or_the_new_and_no_lock(
    storage: PluginStorage, after: bool
) -> None:
    write(storage, MINIMAL)
    process = _SPAWN.Process(target=die_at_rename, args=(storage.root,), kwargs={"after": after})
    process.start()
    process.join(30)
    assert process.exitcode == 9
    assert list(written(storage)) == (["Review", "Eyes"] if after else ["Review"])
    storage.register_user_plugin(ADA, Slug("Later"))
    assert storage.plugin_exists_for_user(ADA, Slug("Later"))


# Opening files


def assert_not_found(storage: PluginStorage, path: str) -> None:
    """`path` is refused as absent, and no descriptor stays open."""
    before = open_files()
    with pytest.raises(AssetNotFound):
        storage.open_asset(REVIEW, V1, AssetPath(path))
    assert open_files() == before


@pytest.fixture(params=["descriptors", "resolved paths"])
def published(
    request: pytest.FixtureRequest, storage: PluginStorage, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The folder of a version, to be opened in the way of POSIX and in that of Windows."""
    if request.param == "resolved paths":
        monkeypatch.setattr("gateway.disk.storage._HAS_DIR_FD", False)
    return publish(storage)


def test_an_asset_is_opened_with_its_facts(storage: PluginStorage, published: Path) -> None:
    opened = storage.open_asset(REVIEW, V1, SCRIPT)
    with opened.file:
        assert opened.file.read() == b"/* 1.0.0 */"
    assert opened.path == published / "dist" / "remoteEntry.js"
    assert opened.stat.st_size == len(b"/* 1.0.0 */")


def test_an_open_asset_is_not_inherited_by_other_programs(
    storage: PluginStorage, published: Path
) -> None:
    with storage.open_asset(REVIEW, V1, SCRIPT).file as file:
        assert not os.get_inheritable(file.fileno())


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("dist/absent.js", id="no such file"),
        pytest.param("absent/x.js", id="no such folder"),
        pytest.param("dist/remoteEntry.js/x.js", id="file as a folder"),
        pytest.param("dist", id="folder"),
        pytest.param("x" * 256 + ".js", id="name over 255 bytes"),
        pytest.param("dist/" + "x" * 5000, id="name over any limit"),
        pytest.param("x" * 300 + "/x.js", id="folder name over 255 bytes"),
        pytest.param("a/" * 3000 + "x.js", id="path over 4096 bytes"),
    ],
)
def test_what_is_no_file_is_not_found(storage: PluginStorage, published: Path, path: str) -> None:
    assert_not_found(storage, path)


def test_a_folder_with_the_suffix_of_a_file_is_not_found(
    storage: PluginStorage, published: Path
) -> None:
    # BrainDrive-Core: "a directory with an allowed extension: 500".
    (published / "folder.js").mkdir()
    assert_not_found(storage, "folder.js")


@pytest.mark.parametrize("how", ["absent", "file"])
def test_a_version_without_a_folder_is_told_from_a_missing_file(
    storage: PluginStorage, published: Path, how: str
) -> None:
    if how == "file":
        (storage.shared / REVIEW / "v2.0.0").write_text("")
    with pytest.raises(VersionNotPublished):
        storage.open_asset(REVIEW, Version("2.0.0"), SCRIPT)


def test_versions_that_share_a_prefix_have_files_of_their_own(
    storage: PluginStorage, published: Path
) -> None:
    publish(storage, Version("1.0"))
    publish(storage, Version("1.0.1"))
    for version in ("1.0", "1.0.1", "1.0.0"):
        with storage.open_asset(REVIEW, Version(version), SCRIPT).file as file:
            assert file.read() == f"/* {version} */".encode()


def link_to_inside(folder: Path) -> str:
    (folder / "link.js").symlink_to("dist/remoteEntry.js")
    return "link.js"


def link_to_outside(folder: Path) -> str:
    secret = folder.parent / "secret.js"
    secret.write_text("secret")
    (folder / "link.js").symlink_to(secret)
    return "link.js"


def link_to_sibling_version(folder: Path) -> str:
    sibling = folder.parent / "v1.0.0-secret"
    sibling.mkdir()
    (sibling / "x.js").write_text("secret")
    (folder / "link.js").symlink_to("../v1.0.0-secret/x.js")
    return "link.js"


def linked_folder(folder: Path) -> str:
    (folder / "other").symlink_to("dist", target_is_directory=True)
    return "other/remoteEntry.js"


def linked_folder_outside(folder: Path) -> str:
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "x.js").write_text("secret")
    (folder / "dist" / "out").symlink_to(outside, target_is_directory=True)
    return "dist/out/x.js"


def chain_of_links(folder: Path) -> str:
    (folder / "1.js").symlink_to("2.js")
    (folder / "2.js").symlink_to("dist/remoteEntry.js")
    return "1.js"


def loop_of_links(folder: Path) -> str:
    (folder / "1.js").symlink_to("2.js")
    (folder / "2.js").symlink_to("1.js")
    return "1.js"


def folder_that_links_to_itself(folder: Path) -> str:
    (folder / "me").symlink_to("me")
    return "me/x.js"


def dangling_link(folder: Path) -> str:
    (folder / "link.js").symlink_to("absent.js")
    return "link.js"


@posix_only
@pytest.mark.parametrize(
    "make",
    [
        link_to_inside, link_to_outside, link_to_sibling_version, linked_folder,
        linked_folder_outside, chain_of_links, loop_of_links, folder_that_links_to_itself,
        dangling_link,
    ],
)  # fmt: skip
def test_a_link_is_never_followed(
    storage: PluginStorage, published: Path, make: Callable[[Path], str]
) -> None:
    assert_not_found(storage, make(published))


@posix_only
def test_a_file_that_may_not_be_read_is_not_found(storage: PluginStorage) -> None:
    folder = publish(storage)
    for path in (folder / "dist", folder, *folder.parents):
        if path.stat().st_uid == os.geteuid() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
    (folder / "dist" / "remoteEntry.js").chmod(0)
    with without_privileges():
        assert_not_found(storage, SCRIPT)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_fifo_is_refused_and_nobody_waits_for_its_writer(storage: PluginStorage) -> None:
    fifo = publish(storage) / "x.js"
    os.mkfifo(fifo)
    with ThreadPoolExecutor(1) as pool:
        attempt = pool.submit(assert_not_found, storage, "x.js")
        try:
            attempt.result(timeout=5)
        finally:  # a reader that does wait is let go
            os.close(os.open(fifo, os.O_RDWR | os.O_NONBLOCK))


@posix_only
def test_a_socket_is_refused(storage: PluginStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(publish(storage))  # the name of a socket has 107 bytes at the most
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("x.js")
        assert_not_found(storage, "x.js")


@posix_only
def test_a_device_is_refused(storage: PluginStorage) -> None:
    device = publish(storage) / "x.js"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except (AttributeError, OSError) as error:
        pytest.skip(f"this account makes no devices ({error})")
    assert_not_found(storage, "x.js")


def test_a_failing_disk_is_no_missing_file(
    storage: PluginStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(storage)

    def fail(*_arguments: object, **_options: object) -> NoReturn:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(OSError, match="Input/output error"):
        storage.open_asset(REVIEW, V1, SCRIPT)


def test_a_file_that_comes_in_pieces_is_read_to_its_end(
    storage: PluginStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.register_user_plugin(ADA, REVIEW)
    whole = storage.installations_file(ADA).read_bytes()
    read = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: read(descriptor, min(size, 7)))
    assert storage.read_content(ADA) == whole
