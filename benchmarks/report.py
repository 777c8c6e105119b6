"""What is shown of the records of a run: its promises, in a table, and one page of all. Pure.

Records are dictionaries here, as they come out of their JSON files.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from benchmarks.promises import PROMISES, Outcome, Promise

JsonRecord = Mapping[str, Any]
NOT_MEASURED = "not measured"
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto;
       padding: 0 1rem; color: #1d2329; background: #fff }
h1, h2 { line-height: 1.2 }
h2 { margin-top: 3rem; border-top: 1px solid #d0d7de; padding-top: 1rem }
table { border-collapse: collapse; margin: 1rem 0; font-size: 13px }
caption { text-align: left; font-weight: 600; padding: .3rem 0 }
th, td { border-bottom: 1px solid #e3e7eb; padding: .25rem .6rem; text-align: right;
         vertical-align: top }
th:first-child, td:first-child, .promises td, .promises th { text-align: left }
.kept { color: #116329; font-weight: 600 } .missed { color: #a40e26; font-weight: 600 }
.not-judged, .not-measured { color: #7d4e00; font-weight: 600 }
.dim { color: #59636e; font-size: 13px } .failed { color: #a40e26 }
figure { margin: 1rem 0; overflow-x: auto } figure svg { max-width: 100%; height: auto }
div.wide { overflow-x: auto }
"""


@dataclass(frozen=True, slots=True)
class ShownPromise:
    """A promise with what all records say of it."""

    promise: Promise
    outcome: str
    """That of the worst verdict; NOT_MEASURED if there is none."""
    remarks: Sequence[str]
    figures: Mapping[str, Mapping[str, float]]
    """Spreads by case, the worst first."""

    @property
    def lines(self) -> list[str]:
        """Remarks, and a line for each case."""
        lines = [*self.remarks]
        for case, spread in self.figures.items():
            low, high = _number(spread["low"]), _number(spread["high"])
            rounds = "" if low == high else f" [{low} to {high}]"
            lines.append(f"{_number(spread['median'])}{rounds}, {case}")
        return lines or [NOT_MEASURED]

    @property
    def worst(self) -> str:
        """The median of the worst case, and its name; empty if there is none."""
        for case, spread in self.figures.items():
            return f"{_number(spread['median'])} ({case})"
        return ""


def shown_promises(records: Mapping[str, JsonRecord]) -> Iterator[ShownPromise]:
    """Every promise, in the order of their table. records: by command."""
    verdicts = [verdict for record in records.values() for verdict in record.get("promises", ())]
    for promise in PROMISES.values():
        yield _shown(promise, [verdict for verdict in verdicts if verdict["key"] == promise.key])


def _shown(promise: Promise, verdicts: Sequence[Mapping[str, Any]]) -> ShownPromise:
    outcomes = {verdict["outcome"] for verdict in verdicts}
    # A promise is not kept if a part of it was not judged.
    worst_first = (Outcome.MISSED, Outcome.NOT_JUDGED, Outcome.KEPT)
    outcome = next((each.value for each in worst_first if each.value in outcomes), NOT_MEASURED)
    figures = [item for verdict in verdicts for item in verdict["figures"].items()]
    figures.sort(key=lambda item: item[1]["median"], reverse=promise.bound.at_most)
    remarks = [verdict["remark"] for verdict in verdicts if verdict["remark"]]
    return ShownPromise(promise, outcome, remarks, dict(figures))


def markdown_table(records: Mapping[str, JsonRecord]) -> Iterator[str]:
    """Lines of a table of the promises that were measured, each with its worst case."""
    yield "| what | promised | outcome | at worst |"
    yield "|---|---|---|---|"
    for shown in shown_promises(records):
        if shown.outcome != NOT_MEASURED:
            cells = (shown.promise.text, str(shown.promise.bound), shown.outcome, shown.worst)
            yield f"| {' | '.join(cell.replace('|', '·') for cell in cells)} |"


def page(records: Mapping[str, JsonRecord]) -> str:
    """One HTML page without script, other files or network. records: by command."""
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>Plugin-asset gateway: measurements</title>\n<style>{_STYLE}</style>",
            "<h1>Plugin-asset gateway: measurements</h1>",
            *_page_facts(records),
            *_page_promises(records),
            *(line for name, record in records.items() for line in _section(name, record)),
            "</html>",
            "",
        ]
    )


def _page_facts(records: Mapping[str, JsonRecord]) -> Iterator[str]:
    for record in list(records.values())[:1]:
        for name in ("machine", "commit"):
            yield f'<p class="dim">{name}: {escape(_text(record.get(name, "")))}</p>'


def _page_promises(records: Mapping[str, JsonRecord]) -> Iterator[str]:
    yield '<h2>Promises</h2>\n<div class="wide"><table class="promises">'
    yield "<tr><th>what<th>promised<th>outcome<th>median [least to greatest] of the rounds</tr>"
    for shown in shown_promises(records):
        style = shown.outcome.replace(" ", "-")
        lines = "<br>".join(map(escape, shown.lines))
        yield (
            f"<tr><td>{escape(shown.promise.text)}<td>{escape(str(shown.promise.bound))}"
            f'<td class="{style}">{shown.outcome}<td>{lines}</tr>'
        )
    yield "</table></div>"


def _section(name: str, record: JsonRecord) -> Iterator[str]:
    yield f"<h2>{escape(name)}</h2>"
    for fact in ("options", "versions"):
        yield f'<p class="dim">{fact}: {escape(_text(record.get(fact, "")))}</p>'
    before, after = (record.get(f"load_average_{when}", "?") for when in ("before", "after"))
    yield f'<p class="dim">load average: {before} before, {after} after</p>'
    for line in record.get("failures", ()):
        yield f'<p class="failed">failed: {escape(_text(line))}</p>'
    for plot in record.get("plots", ()):
        yield f"<figure>{plot['svg']}<figcaption>{escape(plot['title'])}</figcaption></figure>"
    for table in record.get("tables", ()):
        yield f'<div class="wide"><table><caption>{escape(table["title"])}</caption>'
        yield "<tr>" + "".join(f"<th>{escape(column)}" for column in table["columns"]) + "</tr>"
        for row in table["rows"]:
            yield "<tr>" + "".join(f"<td>{escape(cell)}" for cell in row) + "</tr>"
        yield "</table></div>"
    for line in record.get("remarks", ()):
        yield f"<p>{escape(line)}</p>"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return str(value)
