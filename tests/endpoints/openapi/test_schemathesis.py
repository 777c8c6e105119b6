"""schemathesis reads the document, and asks a running server what the document allows and refuses.

It checks statuses, media types, schemas and fields of answers, that valid requests are accepted and
others refused, that methods and credentials are not ignored, and that nothing is a 5xx.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.endpoints.openapi.conftest import TOKEN
from tests.support.openapi import operations_of
from tests.support.server import Server
from tests.support.site import ADA, token
from tests.support.urls import ENTRY_URL, capability, pin_of

pytestmark = pytest.mark.slow

DEADLINE_S = 500.0
"""It takes 13 s of CPU time, and 100 s where ten other programs run."""
EXAMPLES = 10
"""Of each operation, beside those that cover its schema: 1,500 requests in all."""
# A request may be right and still be refused: for what the site has, or by a condition.
ACCEPTED = ["2xx", 304, 401, 403, 404, 409, 410, 412, 416, 429]
REFUSED = [400, 401, 403, 404, 405, 409, 410, 412, 413, 416, 422, 429]
# A question must name a URL, or a user, a plugin and a path. Parameters cannot say so.
EXPLANATIONS = """
[[operations]]
include-operation-id = ["explain", "explainByQuery"]
checks.positive_data_acceptance.enabled = false
"""


def configuration(server: Server) -> str:
    """Credentials, and names that the site has, most of the time in the place of random ones."""
    build = pin_of(server, ADA, "Review").partition("~")[2]
    names = {
        "path.plugin": ["Review", "Eyes", f"{ADA}_Review"],
        "path.slug": ["Review"],
        "path.module": ["Board"],
        "path.path": ["package.json", "lifecycle_manager.py"],
        "path.version": ["1.0.0", "1.0.1"],
        "path.build": [build],
        "path.token": [capability(ADA, "Review")],
        "query.user": [ADA],
        "header.X-Original-URI": [ENTRY_URL],
    }
    user, holder = json.dumps(token(ADA)), json.dumps(TOKEN)
    lines = [
        "seed = 1",
        "max-stream-events = 1",  # of those that would send events for minutes
        "cache.enabled = false",
        f"auth.openapi.user.bearer = {user}",
        f"auth.openapi.administrator.bearer = {holder}",
        f'auth.openapi.password = {{ username = "anybody", password = {holder} }}',
        f"checks.positive_data_acceptance.expected-statuses = {ACCEPTED}",
        f"checks.negative_data_rejection.expected-statuses = {REFUSED}",
    ]
    for name, values in names.items():
        dictionary = name.replace(".", "-")
        lines += [
            f"dictionaries.{dictionary}.values = {json.dumps(values)}",
            f'parameters."{name}" = {{ dictionary = "{dictionary}", probability = 0.8 }}',
        ]
    return "\n".join(lines) + EXPLANATIONS


def test_a_running_server_does_what_the_document_says(server: Server, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(configuration(server))
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run",
        f"http://127.0.0.1:{server.port}/-/openapi.json",
        "--phases", "coverage,fuzzing,stateful", "--max-examples", str(EXAMPLES), "--no-shrink",
        "--continue-on-failure",
    ]  # fmt: skip
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=DEADLINE_S
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    # All but the operation by which schemathesis gets the document.
    count = len([*operations_of(server.get("/-/openapi.json").json)]) - 1
    assert f"{count} selected / {count} total" in result.stdout, result.stdout
