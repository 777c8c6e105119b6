"""This gateway, as an operator runs it: bearer token, per-user check, metrics."""

from benchmarks.processes import Command, gateway_command
from benchmarks.serve.contestants.contestant import Served
from benchmarks.site import SLUG, asset_path


class Gateway:
    name = "gateway"
    about = "gateway serve: token verified, per-user check, metrics on"

    def missing(self) -> str | None:
        return None

    def command(self, site: Served, port: int) -> Command:
        # In force already, but what is measured shall not hang on a default.
        environment = {**site.environment, "GATEWAY__OBSERVABILITY__METRICS": "true"}
        return gateway_command(environment, port)

    def path(self, size_bytes: int) -> str:
        return f"/api/v1/plugins/{SLUG}/{asset_path(size_bytes)}"
