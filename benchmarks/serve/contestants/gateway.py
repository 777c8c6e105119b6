"""This gateway, as an operator runs it: bearer token, per-user check, metrics."""

import sys

from benchmarks.processes import HOST, Command
from benchmarks.site import SLUG, Site, asset_path


class Gateway:
    name = "gateway"
    about = "gateway serve: token verified, per-user check, metrics on"

    def missing(self) -> str | None:
        return None

    def command(self, site: Site, port: int) -> Command:
        # In force already, but what is measured shall not hang on a default.
        environment = {**site.environment, "GATEWAY__OBSERVABILITY__METRICS": "true"}
        arguments = ("-m", "gateway", "serve", "--host", HOST, "--port", str(port))
        return Command((sys.executable, *arguments), environment)

    def path(self, size_bytes: int) -> str:
        return f"/api/v1/plugins/{SLUG}/{asset_path(size_bytes)}"
