"""Sites that benchmarks make, and whom they ask for."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import brotli
import pytest

from benchmarks.sites import PUBLISHED_VERSIONS, Population, Site, javascript, kept_site
from benchmarks.subjects import NothingToAsk, own_subjects
from gateway.disk.storage import PluginStorage

pytestmark = pytest.mark.slow

POPULATION = Population(40, 3, 6)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return kept_site(tmp_path_factory.mktemp("sites"), POPULATION)


def test_a_population_has_the_users_and_plugins_that_it_says(site: Site) -> None:
    storage = PluginStorage(site.plugins)
    counts: Counter[int] = Counter()
    with closing(sqlite3.connect(site.database)) as connection:
        for number in range(POPULATION.users):
            user, plugins = POPULATION.user(number), POPULATION.plugins_of(number)
            assert (
                sorted(plugins)
                == connection.execute(
                    "SELECT plugin_slug, version FROM plugin WHERE user_id = ? ORDER BY 1", (user,)
                ).fetchall()
            )
            assert set(storage.get_all_user_plugins(user)) == {slug for slug, _ in plugins}
            counts[len(plugins)] += 1
        (users,) = connection.execute("SELECT count(DISTINCT user_id) FROM plugin").fetchone()
    assert users == POPULATION.users
    assert set(counts) <= {3, 4, 5, 6}
    assert counts[3] > counts[6]
    assert len(list(storage.shared.path.glob("*/v*"))) == PUBLISHED_VERSIONS


def test_a_site_is_made_once_and_again_where_it_was_not_made_whole(
    site: Site, tmp_path: Path
) -> None:
    told: list[int] = []
    kept_site(site.folder.parent, POPULATION, lambda done, _of: told.append(done))
    assert told == []
    kept_site(tmp_path, Population(5, 1, 1), lambda done, _of: told.append(done))
    (tmp_path / str(Population(5, 1, 1)) / "complete").unlink()
    kept_site(tmp_path, Population(5, 1, 1), lambda done, _of: told.append(done))
    assert told == [5, 5]


def test_a_site_without_rows_is_refused(tmp_path: Path) -> None:
    empty = Site(tmp_path / "empty", Population(1, 1, 1))
    empty.make()
    with closing(sqlite3.connect(empty.database)) as connection, connection:
        connection.execute("DELETE FROM plugin")
    with pytest.raises(NothingToAsk, match="no enabled row"):
        own_subjects(f"sqlite:///{empty.database}", str(empty.plugins), 3)


def test_payload_has_the_size_and_compresses_as_javascript_does() -> None:
    content = javascript(131072)
    assert len(content) == 131072
    assert content == javascript(131072)
    assert 0.15 < len(brotli.compress(content, quality=5)) / len(content) < 0.4
