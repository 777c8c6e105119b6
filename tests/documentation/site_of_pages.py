"""A site that the pages could be about: what they name is there."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.documentation.blocks import ROOT
from tests.support.commands import run
from tests.support.site import SECRET, Site, token
from tests.support.urls import SIGNED_SECRET

USERS = ("ada", "7f3a")
"""Whom the pages name. `ID` is the first."""
SLUG = "NetworkReview"
ORIGIN = "https://app.example"
"""Whose pages may read answers."""
_OLD_USER = "old"
"""Whose file had the old format."""
_ADMIN_TOKEN = "a-random-token-of-administrators"


def make_site(folder: Path) -> Site:
    """With two versions of a real plugin, what a bundler made of a third, and files of docs/."""
    site = Site(folder)
    shared = ROOT / "plugins" / "shared" / SLUG
    shutil.copytree(shared, site.plugins / "shared" / SLUG)
    site.publish("Review", "1.0.0")
    for user in USERS:
        site.give(user, SLUG, "1.0.0")
        site.give(user, "Review", "1.0.0")
    site.write_installations(_OLD_USER, {"Review": {"version": "1.0.0", "enabled": True}})
    site.add_row(_OLD_USER, "Review", "1.0.0")
    _make_builds(folder, shared / "v1.0.1")
    for path in (ROOT / "docs").rglob("monitoring/*.yml"):
        shutil.copy(path, folder)
    (folder / "token.txt").write_text(token(USERS[0]))
    return site


def give_a_past(environment: Mapping[str, str]) -> None:
    """The first user has been upgraded, and a file of the old format was made minimal."""
    for command in (("update", SLUG, "--user", USERS[0], "--version", "1.0.1"),
                    ("migrate", "--apply")):  # fmt: skip
        result = run(environment, *command)
        assert result.exit_code == 0, result.output


def _make_builds(folder: Path, version: Path) -> None:
    """`build/NetworkReview`, and an archive of it that does not say which version it is."""
    build = folder / "build" / SLUG
    shutil.copytree(version, build)
    for name in ("plugin.json", "package.json"):
        content = json.loads((build / name).read_text())
        del content["version"]
        (build / name).write_text(json.dumps(content))
    shutil.make_archive(str(folder / SLUG), "zip", build)
    content["version"] = "1.1.0"
    (build / "package.json").write_text(json.dumps(content))


def configure(site: Site, port: int) -> Path:
    config_file = site.folder / "config.toml"
    config_file.write_text(
        f'database.url = "sqlite:///{site.database.name}"\n'
        f"server.port = {port}\n"
        'access.changes = "users"\n'
        f'http.cors_origins = ["{ORIGIN}"]\n'
        f'admin.token = "{_ADMIN_TOKEN}"\n'
        f'identity.jwt.secret = "{SECRET}"\n'
        f'identity.signed.secret = "{SIGNED_SECRET}"\n'
    )
    return config_file
