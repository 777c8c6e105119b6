"""Publishing: a version appears whole or not at all, and never changes."""

import gzip
import hashlib
import io
import json
import os
import random
import re
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.disk.builds import look_at
from gateway.disk.encoder import Encoder
from gateway.disk.published_record import RECORD_NAME, make_record, read_record
from gateway.disk.storage import PluginStorage
from gateway.errors import PublishingError
from gateway.lifecycle.publishing import publish
from gateway.lifecycle.unpacking import unpack
from gateway.names import Slug, Version
from tests.support.server import clean_environment, run_cli, serving, the_line_of
from tests.support.settings import QUIET
from tests.support.site import ADA, Site, bearer, contents
from tests.support.urls import integrity_of, own
from tests.support.waiting import eventually

METADATA = b'{"slug": "Review", "version": "1.0.0"}'
ENTRY = b"/* the entry of Review 1.0.0 */ " * 40
FILES = {
    "plugin.json": METADATA,
    "dist/remoteEntry.js": ENTRY,
    "dist/1.js": b"a chunk",
    "src/index.js": b"the source",
}


@pytest.fixture
def storage(tmp_path: Path) -> PluginStorage:
    storage = PluginStorage(tmp_path / "plugins")
    for folder in (storage.shared.path, storage.users.path, storage.cache.path):
        folder.mkdir(parents=True)
    return storage


def as_folder(where: Path, files: dict[str, bytes]) -> Path:
    folder = where / "source"
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def as_zip(where: Path, files: dict[str, bytes]) -> Path:
    path = where / "source.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def as_tar(where: Path, files: dict[str, bytes]) -> Path:
    path = where / "source.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


FORMS: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {
    "folder": as_folder, "zip": as_zip, "tar.gz": as_tar,
}  # fmt: skip


def remains(storage: PluginStorage) -> list[Path]:
    """What publishing left in its staging folder."""
    staging = storage.cache.staging
    return list(staging.iterdir()) if staging.exists() else []


def published_files(folder: Path) -> dict[str, bytes]:
    """All but the record of the publishing."""
    files = contents(folder)
    files.pop(RECORD_NAME, None)
    return files


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_a_plugin_becomes_the_same_version(
    storage: PluginStorage, tmp_path: Path, form: str
) -> None:
    published = publish(storage, FORMS[form](tmp_path, FILES))
    assert (published.slug, published.version, published.is_new) == ("Review", "1.0.0", True)
    assert published.folder == storage.shared.path / "Review" / "v1.0.0"
    assert published_files(published.folder) == FILES
    record = read_record(published.folder)
    assert record is not None
    assert record.build == published.build
    assert record.files == {
        name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()
    }
    assert record.integrity == {name: integrity_of(content) for name, content in FILES.items()}
    again = publish(storage, as_folder(tmp_path, FILES))
    assert (again.build, again.is_new, again.has_new_record) == (published.build, False, False)
    assert not remains(storage)


def without_integrity(folder: Path) -> None:
    record = json.loads((folder / RECORD_NAME).read_bytes())
    del record["integrity"]
    (folder / RECORD_NAME).write_text(json.dumps(record))


SPOILERS: dict[str, Callable[[Path], object]] = {
    "of an earlier release": without_integrity,
    "missing": lambda folder: (folder / RECORD_NAME).unlink(),
    "damaged": lambda folder: (folder / RECORD_NAME).write_text("{"),
}


@pytest.mark.parametrize("how", SPOILERS)
def test_the_same_content_again_completes_the_record_and_changes_no_file(
    storage: PluginStorage, tmp_path: Path, how: str
) -> None:
    published = publish(storage, as_folder(tmp_path, FILES))
    whole = read_record(published.folder)
    SPOILERS[how](published.folder)
    again = publish(storage, as_folder(tmp_path, FILES))
    assert (again.build, again.is_new, again.has_new_record) == (published.build, False, True)
    completed = read_record(published.folder)
    assert whole is not None
    assert completed is not None
    assert completed.integrity == whole.integrity
    assert published_files(published.folder) == FILES


def test_a_record_of_an_earlier_release_is_read(storage: PluginStorage, tmp_path: Path) -> None:
    published = publish(storage, as_folder(tmp_path, FILES))
    without_integrity(published.folder)
    record = read_record(published.folder)
    assert record is not None
    assert (record.build, record.integrity) == (published.build, {})


@pytest.mark.parametrize(
    "content",
    [
        [],
        "text",
        {"build": "0" * 16, "files": {}},
        {"build": "0" * 16, "published_at": "", "files": {"a.js": "0"}, "integrity": {"b.js": "x"}},
        {"build": "0" * 16, "published_at": "", "files": [], "integrity": {"b.js": "x"}},
        # Hex, which browsers do not read: they would refuse every file.
        {
            "build": "0" * 16,
            "published_at": "",
            "files": {"a.js": "0"},
            "integrity": {"a.js": f"sha384-{'0' * 96}"},
        },
    ],
)
def test_a_damaged_record_is_no_record(tmp_path: Path, content: object) -> None:
    (tmp_path / RECORD_NAME).write_text(json.dumps(content))
    with pytest.raises(ValueError, match="the record is damaged"):
        read_record(tmp_path)


def test_a_file_that_changes_while_it_is_published_gets_no_record(tmp_path: Path) -> None:
    folder = as_folder(tmp_path, FILES)
    state = look_at(folder, None)
    assert state is not None
    (folder / "dist" / "1.js").write_bytes(b"another")
    with pytest.raises(PublishingError, match="changed while it was being published"):
        make_record(folder, state)


def test_a_version_can_be_read_by_other_users_of_the_host(
    storage: PluginStorage, tmp_path: Path
) -> None:
    folder = publish(storage, as_folder(tmp_path, FILES)).folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


@pytest.mark.parametrize("form", FORMS)
def test_one_folder_around_everything_is_stepped_into(
    storage: PluginStorage, tmp_path: Path, form: str
) -> None:
    wrapped = {f"Review-main/{name}": content for name, content in FILES.items()}
    assert published_files(publish(storage, FORMS[form](tmp_path, wrapped)).folder) == FILES


def test_what_no_page_needs_is_left_out(storage: PluginStorage, tmp_path: Path) -> None:
    names = (".git/config", ".env", "node_modules/a/b.js", "package-lock.json", "a/.hidden")
    extra = dict.fromkeys(names, b"x")
    assert (
        published_files(publish(storage, as_folder(tmp_path, {**FILES, **extra})).folder) == FILES
    )


def test_variants_are_made_and_found_by_the_first_request(
    storage: PluginStorage, tmp_path: Path
) -> None:
    publish(storage, as_folder(tmp_path, FILES))
    encoder = Encoder(storage.cache.encoded)
    assert set(encoder.load(ENTRY, hashlib.sha256(ENTRY).digest())) == {"br", "zstd", "gzip"}


def test_the_same_content_again_is_nothing_to_do(storage: PluginStorage, tmp_path: Path) -> None:
    first = publish(storage, as_folder(tmp_path, FILES))
    before = first.folder.stat().st_ino
    again = publish(storage, as_zip(tmp_path, FILES))
    assert (again.is_new, again.build) == (False, first.build)
    assert first.folder.stat().st_ino == before


def test_other_content_under_the_same_version_is_refused_with_both_digests(
    storage: PluginStorage, tmp_path: Path
) -> None:
    first = publish(storage, as_folder(tmp_path, FILES))
    with pytest.raises(PublishingError) as refused:
        publish(storage, as_zip(tmp_path, {**FILES, "dist/1.js": b"another chunk"}))
    assert first.build in str(refused.value)
    assert str(refused.value).count("build ") == 2
    assert published_files(first.folder) == FILES
    assert not remains(storage)


@pytest.mark.parametrize("form", ["zip", "tar.gz"])
@pytest.mark.parametrize(
    "name",
    [
        "../outside.js", "a/../../outside.js", "/absolute.js", "a//b.js", "C:/a.js", "a\\b.js",
        "dist/con.js", "dist/nul", "dist/a.", "dist/a ", "dist/x:y.js", "dist/" + "x" * 300,
        "dist/a\nb.js", "dist/REMOTEENTRY.js",
    ],
)  # fmt: skip
def test_a_name_that_is_not_a_file_everywhere_is_refused(
    storage: PluginStorage, tmp_path: Path, form: str, name: str
) -> None:
    with pytest.raises(PublishingError):
        publish(storage, FORMS[form](tmp_path, {**FILES, name: b"hostile"}))
    assert not list(storage.shared.path.iterdir())
    assert not remains(storage)
    assert not list(tmp_path.rglob("outside.js"))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_what_is_no_regular_file_in_a_tar_is_refused(
    storage: PluginStorage, tmp_path: Path, kind: bytes
) -> None:
    path = as_tar(tmp_path, FILES)
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("dist/link.js")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(PublishingError, match="no regular file"):
        publish(storage, path)


def test_a_link_in_a_zip_or_a_folder_is_refused(storage: PluginStorage, tmp_path: Path) -> None:
    path = as_zip(tmp_path, FILES)
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("dist/link.js")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    folder = as_folder(tmp_path, FILES)
    (folder / "dist/link.js").symlink_to("/etc/passwd")
    for source in (path, folder):
        with pytest.raises(PublishingError, match="no regular file"):
            publish(storage, source)


def test_a_bomb_is_refused_before_it_fills_the_disk(
    storage: PluginStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.lifecycle.unpacking.MAX_BYTES", 100_000)
    bomb = as_zip(tmp_path, {**FILES, "dist/bomb.js": b"\0" * 10_000_000})
    assert bomb.stat().st_size < 20_000
    with pytest.raises(PublishingError, match="more than"):
        publish(storage, bomb)


def test_a_zip_that_lies_about_its_size_is_refused(storage: PluginStorage, tmp_path: Path) -> None:
    path = as_zip(tmp_path, FILES)
    content = bytearray(path.read_bytes())
    size = len(ENTRY).to_bytes(4, "little")
    assert content.count(size) >= 2
    path.write_bytes(content.replace(size, (1).to_bytes(4, "little")))
    with pytest.raises(PublishingError):
        publish(storage, path)


@pytest.mark.parametrize("form", ["zip", "tar.gz"])
def test_an_archive_that_is_cut_off_is_refused(
    storage: PluginStorage, tmp_path: Path, form: str
) -> None:
    path = FORMS[form](tmp_path, {**FILES, "dist/noise.wasm": random.Random(1).randbytes(50_000)})
    path.write_bytes(path.read_bytes()[:-20_000])
    with pytest.raises(PublishingError):
        publish(storage, path)
    assert not remains(storage)


def as_uncompressed_tar(where: Path, files: dict[str, bytes]) -> Path:
    path = as_tar(where, files)
    path.write_bytes(gzip.decompress(path.read_bytes()))
    return path


@pytest.mark.parametrize("make", [as_zip, as_tar, as_uncompressed_tar])
def test_an_archive_with_wrong_bytes_is_unpacked_or_refused(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    """Never another error, and it names the archive; 300 of them, each with a few other bytes."""
    source = make(tmp_path, {**FILES, "dist/" + "long/" * 30 + "é.js": b"x" * 700})
    whole, chance, refusals = source.read_bytes(), random.Random(1), []
    for number in range(300):
        content = bytearray(whole)
        for _ in range(chance.choice((1, 2, 5, 30))):
            content[chance.randrange(len(content))] = chance.randrange(256)
        source.write_bytes(content)
        try:
            unpack(source, tmp_path / f"staging{number}", lambda *_: None)
        except PublishingError as error:
            refusals.append(str(error))
    assert len(refusals) > 100
    assert all(refusal.startswith(f"{source}: ") for refusal in refusals)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"PK\x03\x04" + bytes(100), "the .zip is damaged"),
        (b"PK\x05\x06" + b"\xff" * 10, "the .zip is damaged"),
        (b"\x1f\x8b\x08" + bytes(100), "the .tar.gz is damaged"),
        (b"anything else", "damaged, or not a folder, a .zip or a .tar.gz"),
        (b"", "damaged, or not a folder, a .zip or a .tar.gz"),
    ],
)
def test_a_damaged_archive_is_named_as_what_it_was(
    storage: PluginStorage, tmp_path: Path, content: bytes, problem: str
) -> None:
    source = tmp_path / "source"
    source.write_bytes(content)
    with pytest.raises(PublishingError, match=f": {re.escape(problem)}$"):
        publish(storage, source)


@pytest.mark.parametrize("mode", ["w:bz2", "w:xz"])
def test_other_archives_are_refused(storage: PluginStorage, tmp_path: Path, mode: str) -> None:
    """Neither is documented, and how much memory xz needs is the archive's word."""
    path = tmp_path / "source"
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        archive.add(as_folder(tmp_path / "files", FILES), ".")
    with pytest.raises(PublishingError, match=r"not a folder, a \.zip or a \.tar\.gz"):
        publish(storage, path)


def test_an_uncompressed_tar_is_published(storage: PluginStorage, tmp_path: Path) -> None:
    assert published_files(publish(storage, as_uncompressed_tar(tmp_path, FILES)).folder) == FILES


def test_a_name_that_is_not_utf_8_is_refused(storage: PluginStorage, tmp_path: Path) -> None:
    path = as_tar(tmp_path, FILES)
    with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("dist/caf\udce9.js"))
    with pytest.raises(PublishingError, match="not UTF-8"):
        publish(storage, path)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "holds no files"),
        ({**FILES, "plugin.json": b'{"x":' * 500 + b"1" + b"}" * 500}, "more than 100 levels"),
        ({**FILES, "plugin.json": b'{"x":' * 9999}, "plugin.json: not valid JSON"),
        ({**FILES, "plugin.json": b" " * (1 << 20) + METADATA}, "larger than 1048576 bytes"),
        (
            {**FILES, "plugin.json": b'{"modules": [{"name": "a", "priority": 2147483648}]}'},
            "priority: expected a whole number of 32 bits",
        ),
        ({"dist/remoteEntry.js": ENTRY}, "no plugin.json: no slug; --slug can say it"),
        ({**FILES, "plugin.json": b'{"version": "1"}'}, "package.json: no slug; --slug can say it"),
        ({**FILES, "plugin.json": b'{"slug": "x"}'}, "no version; --version can say it"),
        ({**FILES, "plugin.json": b"{"}, "not valid JSON"),
        ({**FILES, "plugin.json": b"[]"}, "JSON object"),
        ({**FILES, "plugin.json": b'{"slug": "../x", "version": "1"}'}, "not a plugin slug"),
        (
            {**FILES, "plugin.json": b'{"slug": "x", "version": "v1.0.0"}'},
            "'v' belongs to the folder",
        ),
        ({"plugin.json": METADATA, "a.js": b"x"}, "no entry file dist/remoteEntry.js"),
        (
            {**FILES, "plugin.json": METADATA[:-1] + b', "bundle_location": "../../x.js"}'},
            "dot segment",
        ),
        ({**FILES, "dist/remoteEntry.js": b""}, "no entry file"),
    ],
)
def test_what_is_missing_is_named(
    storage: PluginStorage, tmp_path: Path, files: dict[str, bytes], expected: str
) -> None:
    (tmp_path / "source").mkdir()
    with pytest.raises(PublishingError, match=expected):
        publish(storage, as_folder(tmp_path, files))


def test_options_name_what_the_metadata_does_not(storage: PluginStorage, tmp_path: Path) -> None:
    source = as_folder(tmp_path, {"dist/remoteEntry.js": ENTRY})
    published = publish(storage, source, slug=Slug("Other"), version=Version("2.0"))
    assert published.folder == storage.shared.path / "Other" / "v2.0"


def test_a_version_that_contradicts_the_metadata_is_refused(
    storage: PluginStorage, tmp_path: Path
) -> None:
    with pytest.raises(PublishingError, match=r"says version 1\.0\.0"):
        publish(storage, as_folder(tmp_path, FILES), version=Version("2.0"))


def test_a_full_disk_leaves_nothing(
    storage: PluginStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        publish(storage, as_folder(tmp_path, FILES))
    assert not list(storage.shared.path.iterdir())
    assert not remains(storage)


@pytest.mark.slow
def test_two_publishers_at_once_make_one_version(storage: PluginStorage, tmp_path: Path) -> None:
    source = as_folder(tmp_path, FILES)
    config = tmp_path / "config.toml"
    config.write_text(f'[storage]\nroot = "{storage.root}"\n')
    command = [sys.executable, "-m", "gateway", "--config", str(config), "publish", str(source)]
    processes = [
        subprocess.Popen(
            command, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for _ in range(4)
    ]
    outputs = [process.communicate(timeout=60)[0].decode() for process in processes]
    assert sum("published Review" in output for output in outputs) == 1, outputs
    for output in outputs:
        assert any(
            word in output for word in ("published Review", "there already", "by another process")
        )
    assert published_files(storage.shared.path / "Review" / "v1.0.0") == FILES


@pytest.mark.slow
def test_the_command_publishes_and_a_running_server_serves_it_at_once(
    empty_site: Site, tmp_path: Path
) -> None:
    empty_site.give(ADA, "Review", "1.0.0")
    with serving({**empty_site.environment, **QUIET}) as server:
        refused = server.get(own("Review"), bearer(ADA))
        assert refused.code == "version_not_published"
        done = run_cli(empty_site.environment, "publish", str(as_folder(tmp_path, FILES)))
        assert (done.returncode, done.stdout.split(",")[0]) == (0, "published Review 1.0.0")
        eventually(lambda: server.get(own("Review"), bearer(ADA)).status, lambda got: got == 200)
        assert server.get(own("Review"), bearer(ADA)).body == ENTRY
    again = run_cli(empty_site.environment, "publish", str(tmp_path))
    assert the_line_of(again).count("Error: ") == 1
