"""Empty sites for the lifecycle."""

from pathlib import Path

import pytest

from tests.support.accounts import Account
from tests.support.postgres import PostgresSite
from tests.support.site import Site


@pytest.fixture(params=["sqlite", "postgresql"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Account:
    """An empty site on each database."""
    if request.param == "sqlite":
        return Account(Site(tmp_path / "site"))
    postgres = request.getfixturevalue("postgres")
    return Account(PostgresSite(tmp_path / "site", postgres.new_database()))


@pytest.fixture
def account(empty_site: Site) -> Account:
    """An empty site on SQLite."""
    return Account(empty_site)
