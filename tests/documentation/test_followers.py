"""A block of README or docs/ that nobody runs or compares is noticed."""

import pytest

from tests.documentation.blocks import ROOT, all_blocks, read_blocks
from tests.documentation.followers import (
    COMMANDS,
    FOLLOWERS,
    NOT_RUN,
    Follower,
    follower_of,
    reason_not_to_run,
    without_a_test,
)

BLOCKS = all_blocks()


def test_every_block_of_commands_and_json_has_a_test() -> None:
    """If a block is `unnamed`: its fence must say what it holds, `text` if nothing else."""
    assert [(str(block), block.kind) for block in without_a_test(BLOCKS)] == []


@pytest.mark.parametrize(("name", "follower"), FOLLOWERS.items(), ids=str)
def test_a_test_that_is_named_reads_the_page(name: tuple[str, str], follower: Follower) -> None:
    page, kind = name
    blocks = [block for block in BLOCKS if (block.page_name, block.kind) == name]
    assert blocks
    assert follower.blocks in (None, len(blocks)), f"{page} has other blocks of {kind} now"
    assert page in (ROOT / follower.test).read_text()


@pytest.mark.parametrize("start", NOT_RUN)
def test_what_cannot_be_run_is_on_a_page(start: str) -> None:
    why = NOT_RUN[start]
    commands = [it for block in BLOCKS if follower_of(block) == COMMANDS for it in block.commands]
    assert any(reason_not_to_run(command) == why for command in commands)


PAGE = """
# A page

    gateway publish --new

Text, then a tree, a list, and JSON:

    site/
      plugins/

- one
  two

```json
{"a": 1}
```

```
gateway list
```

```toml
a = 1
```

```rust
fn main() {}
```

```text
$ gateway list
user
```

    gateway publish [OPTIONS] SOURCE
"""


def test_each_kind_of_block_is_known() -> None:
    blocks = list(read_blocks("docs/new.md", PAGE))
    assert [(block.line, block.kind, block.is_next) for block in blocks] == [
        (4, "sh", False),
        (8, "unnamed", False),
        (15, "json", False),
        (19, "unnamed", True),
        (23, "toml", True),
        (27, "rust", True),
        (31, "text", True),
        (35, "synopsis", True),
    ]
    assert blocks[0].above == "# A page"
    assert [block.line for block in without_a_test(blocks)] == [8, 19, 27, 31]


def test_commands_are_those_of_a_shell() -> None:
    text = "```sh\n# why\ncurl -H 'a' \\\n    URL  # what\n\nls\n```\n"
    (block,) = read_blocks("docs/new.md", text)
    assert block.commands == ["curl -H 'a' URL  # what", "ls"]
