"""Files of a version are opened without following a link, and nothing else is."""

import errno
import os
import socket
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

from gateway.disk.storage import PluginStorage
from gateway.errors import AssetNotFound, VersionNotPublished
from gateway.names import AssetPath, Version
from tests.disk.storage.files import (
    ADA,
    REVIEW,
    SCRIPT,
    V1,
    open_files,
    publish,
)
from tests.support.privileges import without_privileges


def assert_not_found(storage: PluginStorage, path: str) -> None:
    """`path` is refused as absent, and no descriptor stays open."""
    before = open_files()
    with pytest.raises(AssetNotFound):
        storage.shared.open_asset(REVIEW, V1, AssetPath(path))
    assert open_files() == before


def test_an_asset_is_opened_with_its_facts(storage: PluginStorage, published: Path) -> None:
    opened = storage.shared.open_asset(REVIEW, V1, SCRIPT)
    with opened.file:
        assert opened.file.read() == b"/* 1.0.0 */"
    assert opened.path == published / "dist" / "remoteEntry.js"
    assert opened.stat.st_size == len(b"/* 1.0.0 */")


def test_an_open_asset_is_not_inherited_by_other_programs(
    storage: PluginStorage, published: Path
) -> None:
    with storage.shared.open_asset(REVIEW, V1, SCRIPT).file as file:
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
        (storage.shared.path / REVIEW / "v2.0.0").write_text("")
    with pytest.raises(VersionNotPublished):
        storage.shared.open_asset(REVIEW, Version("2.0.0"), SCRIPT)


def test_versions_that_share_a_prefix_have_files_of_their_own(
    storage: PluginStorage, published: Path
) -> None:
    publish(storage, Version("1.0"))
    publish(storage, Version("1.0.1"))
    for version in ("1.0", "1.0.1", "1.0.0"):
        with storage.shared.open_asset(REVIEW, Version(version), SCRIPT).file as file:
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


def test_a_socket_is_refused(storage: PluginStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(publish(storage))  # the name of a socket has 107 bytes at the most
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("x.js")
        assert_not_found(storage, "x.js")


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
        storage.shared.open_asset(REVIEW, V1, SCRIPT)


def test_a_file_that_comes_in_pieces_is_read_to_its_end(
    storage: PluginStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.register_user_plugin(ADA, REVIEW)
    whole = storage.users.file(ADA).read_bytes()
    read = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: read(descriptor, min(size, 7)))
    assert storage.users.read_content(ADA) == whole
