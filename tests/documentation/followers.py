"""Which test follows a block of README and docs/.

test_commands.py runs blocks of commands, and test_examples.py compares blocks of JSON, unless a
table below names another test. What no test can run stands in `NOT_RUN`, with the reason.
`python -m tests.documentation.followers` lists all blocks.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tests.documentation.blocks import Block, all_blocks

COMMANDS = "tests/documentation/test_commands.py"
EXAMPLES = "tests/documentation/test_examples.py"


class Follower(NamedTuple):
    test: str
    blocks: int | None = None
    """How many blocks of the page it knows; None: it goes through all that there are."""


FOLLOWERS = {
    ("braindrive.md", "sh"): Follower("tests/test_braindrive_page.py"),
    ("braindrive.md", "text"): Follower("tests/test_braindrive_page.py"),
    ("plugins.md", "sh"): Follower("tests/development/test_plugins_page.py"),
    ("plugins.md", "text"): Follower("tests/development/test_plugins_page.py"),
    ("plugins.md", "js"): Follower("tests/demo/test_host_of_another_origin.py", 2),
    ("tutorial.md", "sh"): Follower("tests/test_tutorial.py"),
    ("tutorial.md", "text"): Follower("tests/test_tutorial.py"),
    ("troubleshooting.md", "sh"): Follower("tests/test_troubleshooting.py"),
    ("troubleshooting.md", "text"): Follower("tests/test_troubleshooting.py"),
    ("embedding.md", "python"): Follower("tests/embedding/test_page.py"),
    ("embedding.md", "sh"): Follower("tests/embedding/test_first_steps.py", 4),
    ("embedding.md", "text"): Follower("tests/embedding/test_first_steps.py", 1),
    ("front-end.md", "js"): Follower("tests/embedding/test_front_end_page.py", 1),
    ("front-end.md", "html"): Follower("tests/embedding/test_front_end_page.py", 1),
    ("architecture.md", "python"): Follower("tests/test_architecture.py", 1),
    ("dictionaries.md", "sh"): Follower("tests/documentation/test_dictionaries_page.py", 2),
    ("logs.md", "json"): Follower("tests/processes/test_logs.py", 1),
}
"""By the name of a page and the kind of its blocks: the test that runs or compares them."""

_GENERAL = {"sh": COMMANDS, "json": EXAMPLES, "toml": EXAMPLES}
NEED_NO_TEST = {"text", "html", "synopsis"}
"""Nobody types or parses these. tests/test_docs.py knows each option of a synopsis."""

NOT_RUN = {
    r"docker (build|run|compose (build|run|up))\b": (
        "the tests have no Docker; tests/test_deployment_files.py does what its files say"
    ),
    r"cd deploy$|echo \"(DB_PASSWORD|JWT_SECRET)=|curl -i http://localhost:8080/": (
        "goes with Docker's commands"
    ),
    r"(adduser|systemctl|install|runuser|touch|chmod|/usr/bin/python3|/opt/gateway/bin/pip) ": (
        "changes the machine; tests/test_braindrive_page.py has stand-ins"
    ),
    r"pip install ": "needs the network; tests/test_packages.py installs the wheel without it",
    r"npx ": "needs the network",
    r"make ": "runs these tests; tests/test_docs.py knows its targets",
    r"python -m benchmarks (all|lookup) ": "takes minutes; tests/benchmarks runs it, small",
    r"gateway init --triggers": "needs PostgreSQL; tests/database/test_postgres.py runs it",
}
"""By how a command begins: why no test can run it."""


def reason_not_to_run(command: str) -> str | None:
    return next((why for start, why in NOT_RUN.items() if re.match(start, command)), None)


def to_be_run(block: Block) -> list[str]:
    """Its commands without those that no test can run."""
    return [command for command in block.commands if reason_not_to_run(command) is None]


def follower_of(block: Block) -> str | None:
    """The test that runs or compares the block; None: nobody does."""
    named = FOLLOWERS.get((block.page_name, block.kind))
    return named.test if named else _GENERAL.get(block.kind)


def blocks_for(test: str, kind: str) -> list[Block]:
    return [it for it in all_blocks() if it.kind == kind and follower_of(it) == test]


def without_a_test(blocks: Iterable[Block]) -> list[Block]:
    return [
        block
        for block in blocks
        if follower_of(block) is None and (block.kind not in NEED_NO_TEST or block.is_typed)
    ]


def _listed(blocks: Sequence[Block]) -> Iterator[str]:
    """A line for each block, with the commands in it that are not run, and the measure."""
    for block in blocks:
        follower = follower_of(block)
        yield f"{block!s:45} {block.kind:9} {follower or '-'}"
        if follower == COMMANDS:
            for command in block.commands:
                if why := reason_not_to_run(command):
                    yield f"{'':55} not run: {command.partition('#')[0].strip()}: {why}"
    yield f"blocks of commands and JSON that no test follows: {len(without_a_test(blocks))}"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in _listed(all_blocks()))
