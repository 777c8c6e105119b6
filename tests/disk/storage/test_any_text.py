"""Whatever text an application passes on, the storage API touches the user's own file alone."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.disk.storage import PluginStorage
from gateway.names import parse_or_none, parse_slug, parse_user_id, parse_version
from tests.support.site import contents

SECRET = "outside.txt"
PIECES = [
    "..",
    ".",
    "/",
    "\\",
    "~",
    "evil",
    "user_",
    "a",
    "v1.0.0",
    "\0",
    "\n",
    "%2e",
    "C:",
    "\ud800",
    " ",
]
texts = st.text(max_size=40) | st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
names = st.sampled_from(["Review", "1.0.0", "ada"]) | texts


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """A folder with files around it, which nobody may touch."""
    with tempfile.TemporaryDirectory() as folder:
        outside = Path(folder)
        for path in (
            SECRET,
            "evil/installed_plugins.json",
            "a/plugins/shared/Review/v1.0.0/dist/a.js",
        ):
            (outside / path).parent.mkdir(parents=True, exist_ok=True)
            (outside / path).write_text("{}")
        yield outside / "a" / "plugins"


Write = Callable[[PluginStorage, str, str], object]


@pytest.mark.parametrize(
    "write", [PluginStorage.register_user_plugin, PluginStorage.unregister_user_plugin]
)
@given(user=names, slug=names)
def test_only_the_users_own_file_is_written(root: Path, write: Write, user: str, slug: str) -> None:
    storage, outside = PluginStorage(root), root.parents[1]
    before = contents(outside)
    try:
        write(storage, user, slug)
    except ValueError:
        assert contents(outside) == before
        return
    assert parse_slug(slug) == slug
    user_id = parse_user_id(user)
    touched = {name for name, content in contents(outside).items() if before.get(name) != content}
    file, lock = f"users/user_{user_id}/installed_plugins.json", f"cache/locks/user_{user_id}.lock"
    assert touched <= {f"a/plugins/{file}", f"a/plugins/{lock}"}


@given(user=names, slug=names, version=names)
def test_a_path_is_that_of_the_version_or_there_is_none(
    root: Path, user: str, slug: str, version: str
) -> None:
    storage = PluginStorage(root)
    try:
        path = storage.construct_shared_path(slug, version)
    except ValueError:
        with pytest.raises(ValueError, match="not a"):
            storage.get_user_plugin_path(user, slug, version)
        return
    assert path.relative_to(root / "shared").parts == (
        parse_slug(slug),
        f"v{parse_version(version)}",
    )
    if parse_or_none(parse_user_id, user) is not None:
        assert storage.get_user_plugin_path(user, slug, version) in (path, None)
