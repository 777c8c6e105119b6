"""The code blocks of README and docs/: where each stands, and what it holds."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"```(\w*)$")
_HEADING = re.compile("##+ ")
_INDENT = "    "
_PROGRAM = re.compile(
    r"(?:adduser|cd|curl|docker|echo|eval|export|gateway|git|make|npm|npx|pip|promtool|python3?"
    r"|sudo) |[A-Z_]+="
)
# How a command may be called, as its help says it: `gateway publish [OPTIONS] SOURCE`.
_SYNOPSIS = re.compile(r"gateway [^\n]*\[[-A-Z]+[^\n]*\]")


@dataclass(frozen=True, slots=True)
class Block:
    page: str
    """Its path in the checkout."""
    section: str
    """The heading above; that of the page is none."""
    line: int
    """Where its code begins; the first line of the page is 1."""
    kind: str
    """The language that a fence names, such as `sh`. An indented block is `sh`, `json` or
    `synopsis` by its content. Otherwise `unnamed`."""
    text: str
    above: str
    """The last line of text above."""
    is_next: bool
    """Whether nothing stands between it and the block before."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def page_name(self) -> str:
        """The page wherever it lies: a move of pages changes no test."""
        return self.page.rpartition("/")[2]

    @property
    def is_typed(self) -> bool:
        """Whether a line of a `text` is a command, which a fence of another kind would hold."""
        return self.kind == "text" and any(
            _PROGRAM.match(line.removeprefix("$ ")) for line in self.text.splitlines()
        )

    @property
    def commands(self) -> Sequence[str]:
        """The lines, with continued ones joined, without those that are only a comment."""
        lines = re.sub(r"\\\n *", "", self.text).splitlines()
        return [line for line in lines if line.strip() and not line.startswith("#")]


def all_blocks() -> list[Block]:
    return [
        block
        for page in PAGES
        for block in read_blocks(page.relative_to(ROOT).as_posix(), page.read_text("utf-8"))
    ]


def read_blocks(page: str, text: str) -> Iterator[Block]:
    lines = text.splitlines()
    section, above, number, is_next = "", "", 0, False
    while number < len(lines):
        line = lines[number]
        start = end = number
        if fence := _FENCE.match(line):
            start, end = number + 1, lines.index("```", number + 1)
            text, kind = "\n".join(lines[start:end]), fence[1] or "unnamed"
            yield Block(page, section, start + 1, kind, text, above, is_next)
            is_next = True
        elif line.startswith(_INDENT) and not lines[number - 1].strip():
            end = _end_of_indented(lines, start)
            text = "\n".join(it.removeprefix(_INDENT) for it in lines[start:end])
            yield Block(page, section, start + 1, _kind_of(text), text, above, is_next)
            is_next = True
        elif line.strip():
            section = line.lstrip("# ") if _HEADING.match(line) else section
            above, is_next = line.strip(), False
        number = end + 1


def _end_of_indented(lines: Sequence[str], start: int) -> int:
    """The line after the last one of the block. Lines without text may be within."""
    end = start
    for number in range(start, len(lines)):
        if lines[number].startswith(_INDENT):
            end = number
        elif lines[number].strip():
            break
    return end + 1


def _kind_of(text: str) -> str:
    if _SYNOPSIS.match(text):
        return "synopsis"
    if _PROGRAM.match(text):
        return "sh"
    return "json" if text[0] in "{[" else "unnamed"
