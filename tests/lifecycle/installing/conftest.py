"""Empty sites for the lifecycle."""

from pathlib import Path

import pytest

from tests.support.lives import Life
from tests.support.postgres import PostgresSite
from tests.support.site import Site


@pytest.fixture(params=["sqlite", "postgresql"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Life:
    """An empty site on each database."""
    if request.param == "sqlite":
        return Life(Site(tmp_path / "site"))
    postgres = request.getfixturevalue("postgres")
    return Life(PostgresSite(tmp_path / "site", postgres.new_database()))


@pytest.fixture
def life(empty_site: Site) -> Life:
    """An empty site on SQLite."""
    return Life(empty_site)
