"""Each command of README and docs/ works as it stands, in the order of its section.

A block of text right below commands is what they print.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

import pytest

from tests.documentation.blocks import Block, all_blocks
from tests.documentation.followers import COMMANDS, follower_of, to_be_run
from tests.documentation.reader import Reader, reading

pytestmark = pytest.mark.slow

Section = tuple[str, str]
"""Page and heading."""
_BLOCKS = all_blocks()
_TO_RUN = [block for block in _BLOCKS if follower_of(block) == COMMANDS and to_be_run(block)]
SECTIONS: dict[Section, Sequence[Block]] = {
    section: list(blocks)
    for section, blocks in groupby(_TO_RUN, lambda block: (block.page, block.section))
}
"""What somebody types one after the other."""
PRINTED = {
    above: below for above, below in pairwise(_BLOCKS) if below.kind == "text" and below.is_next
}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with reading(tmp_path_factory.mktemp("site")) as reader:
        yield reader


@pytest.mark.parametrize("section", SECTIONS, ids="#".join)
def test_the_commands_of_a_section_work(reader: Reader, section: Section) -> None:
    blocks = SECTIONS[section]
    said = reader.follow(["\n".join(to_be_run(block)) for block in blocks])
    for block, printed in zip(blocks, said, strict=True):
        for line in PRINTED[block].text.splitlines() if block in PRINTED else ():
            assert line in printed.splitlines(), (line, printed)


def test_a_command_that_fails_is_noticed(reader: Reader) -> None:
    for text in (
        "gateway list --user ID --unheard-of",
        "gateway list --user ID | gateway unheard-of",
        "curl http://127.0.0.1:8000/api/v1/plugins/manifest",
        "gateway serve --uds /nowhere/socket",
        "false\ntrue",
    ):
        with pytest.raises(AssertionError, match=text.partition(" ")[0].splitlines()[0]):
            reader.follow([text])
