"""Folders in which versions are prepared, and the locks of publishers. Blocking.

A staging folder is on the file system of `shared/`, so that one rename publishes it. Its
publisher holds its lock; a folder whose lock nobody holds was left by a killed publisher.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gateway.disk.cache_folder import CacheFolder
from gateway.errors import GatewayError, PublishingError
from gateway.names import Slug, Version


@contextmanager
def staging_folder(cache: CacheFolder) -> Iterator[Path]:
    """An empty folder, which the block may move away; otherwise it is removed at the end.

    Removes abandoned folders too.
    """
    cache.staging.mkdir(parents=True, exist_ok=True)
    # Held while a folder and its lock are made or removed: nobody sees one without the other.
    with FileLock(cache.staging_lock):
        _abandoned(cache, remove=True)
        folder = Path(tempfile.mkdtemp(dir=cache.staging))
        lock = FileLock(f"{folder}.lock")
        lock.acquire()
    try:
        folder.chmod(0o755)  # mkdtemp makes it private; it becomes the version's folder
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def abandoned_staging(cache: CacheFolder, *, remove: bool) -> list[Path]:
    """Staging folders of publishers that were killed. Raises: OSError."""
    if not cache.staging.is_dir():
        return []
    with FileLock(cache.staging_lock):
        return _abandoned(cache, remove=remove)


def _abandoned(cache: CacheFolder, *, remove: bool) -> list[Path]:
    """The caller holds the lock of all staging folders."""
    abandoned = []
    for folder in sorted({path.with_suffix("") for path in cache.staging.iterdir()}):
        lock = FileLock(f"{folder}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        abandoned.append(folder)
        if remove:
            shutil.rmtree(folder, ignore_errors=True)
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
    return abandoned


def only_publisher(
    cache: CacheFolder, slug: Slug, version: Version
) -> AbstractContextManager[None]:
    """Excludes others who publish or remove the version. Raises: PublishingError."""
    refusal = PublishingError(f"{slug} {version} is being published by another process")
    return locked_or_refused(cache.publisher_lock(slug, version), refusal)


@contextmanager
def locked_or_refused(lock: Path, refusal: GatewayError) -> Iterator[None]:
    """Raises: `refusal`, at once, if another holds the lock."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0, thread_local=False):
            yield
    except Timeout:
        raise refusal from None
