"""One HTML page: no script, no other file, no network. Pure."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from benchmarks.report.promised import shown_promises

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

Record = Mapping[str, Any]


def page(records: Mapping[str, Record]) -> str:
    """`records`: by command."""
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>Plugin-asset gateway: measurements</title>\n<style>{_STYLE}</style>",
            "<h1>Plugin-asset gateway: measurements</h1>",
            *_facts(records),
            *_promises(records),
            *(line for name, record in records.items() for line in _section(name, record)),
            "</html>",
            "",
        ]
    )


def _facts(records: Mapping[str, Record]) -> Iterator[str]:
    if not records:
        return
    first = next(iter(records.values()))
    for name in ("machine", "commit"):
        yield f'<p class="dim">{name}: {escape(_text(first.get(name, "")))}</p>'


def _promises(records: Mapping[str, Record]) -> Iterator[str]:
    yield '<h2>Promises</h2>\n<div class="wide"><table class="promises">'
    yield "<tr><th>what<th>promised<th>outcome<th>median [least to greatest] of the rounds</tr>"
    for shown in shown_promises(records):
        style = shown.outcome.replace(" ", "-")
        lines = "<br>".join(map(escape, shown.lines))
        yield (
            f"<tr><td>{escape(shown.text)}<td>{escape(shown.promised)}"
            f'<td class="{style}">{shown.outcome}<td>{lines}</tr>'
        )
    yield "</table></div>"


def _section(name: str, record: Record) -> Iterator[str]:
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
        yield from _table(table)
    for line in record.get("remarks", ()):
        yield f"<p>{escape(line)}</p>"


def _table(table: Mapping[str, Any]) -> Iterator[str]:
    yield f'<div class="wide"><table><caption>{escape(table["title"])}</caption>'
    yield "<tr>" + "".join(f"<th>{escape(name)}" for name in table["columns"]) + "</tr>"
    for row in table["rows"]:
        yield "<tr>" + "".join(f"<td>{escape(cell)}" for cell in row) + "</tr>"
    yield "</table></div>"


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    return str(value)
