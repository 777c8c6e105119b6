"""The documentation names everything there is, and nothing that there is not."""

import ast
import itertools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard, cast, get_origin

import click
import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from starlette.routing import Route

from gateway.application import Gateway
from gateway.cli import load_command, main
from gateway.development.developed_plugin import DevelopedPlugin
from gateway.development.development import Development
from gateway.development.plugin_folder import PluginFolder
from gateway.errors import RequestError
from gateway.lint.findings import SEVERITIES
from gateway.metrics.catalogue import (
    BOUNDS_S,
    CHANGE_SOURCES,
    FAMILIES,
    PATHS,
    SOURCES,
    Kind,
    RouteClass,
)
from gateway.names import Slug, UserId
from gateway.settings import ENVIRONMENT_PREFIX, Settings, setting_types
from gateway.upkeep.findings import KINDS, Severity
from scripts import commands_page
from tests.support.site import ADA, SECRET

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
INDEX = ROOT / "docs" / "README.md"
CONFIGURATION = ROOT / "docs" / "reference" / "configuration.md"
URLS = ROOT / "docs" / "reference" / "urls.md"
METRICS = ROOT / "docs" / "reference" / "metrics.md"
OPERATIONS = ROOT / "docs" / "how-to" / "operations.md"
ERRORS = ROOT / "docs" / "reference" / "errors.md"
CONTRIBUTING = ROOT / "docs" / "how-to" / "contributing.md"
LINT = ROOT / "docs" / "reference" / "lint.md"
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [README, ROOT / "CHANGELOG.md", *DOCS]
TEXT = {page: page.read_text() for page in PAGES}
MODULES = [path for path in (ROOT / "gateway").rglob("*.py") if path.name != "settings.py"]
# Answers that are not errors of ours: a URL nobody routes, and a bug.
METRIC_TYPES = {Kind.MAXIMUM: "gauge (the largest)", Kind.CONSTANT: "gauge"}
CODES_WITHOUT_A_CLASS = {("404", "not_found"), ("500", "internal_error")}
# By OpenTelemetry's conventions; the section `http` has none of these.
SPAN_ATTRIBUTES = {"http.request.method", "http.response.status_code", "http.route"}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def rows(text: str, columns: int) -> Iterator[list[str]]:
    """Cells of the table rows with so many columns."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line[1:].rpartition("|")[0].split("|")]
        if line.startswith("|") and len(cells) == columns:
            yield cells


def unquoted(cell: str) -> str:
    return cell.strip("`")


def in_code(text: str) -> list[str]:
    """Code spans, and the lines of code blocks."""
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```$", "", text))
    blocks = re.findall(r"(?ms)^```\w*\n(.*?)^```$", text)
    indented = re.findall(r"(?m)^    (\S.*)$", text)
    return [*spans, *(line for block in blocks for line in block.splitlines()), *indented]


# Settings


def documented_settings() -> dict[str, dict[str, str]]:
    """Name → type, default, unit, meaning."""
    found = {}
    for section in TEXT[CONFIGURATION].split("\n## ")[1:]:
        name = re.match(r"\[([a-z.]+)\]", section)
        for key, type_, default, unit, meaning in rows(section, 5) if name else ():
            if name and key.startswith("`"):
                facts = {"type": type_, "default": default, "unit": unit, "meaning": meaning}
                found[f"{name[1]}.{unquoted(key)}"] = facts
    return found


SETTINGS = documented_settings()
Section = type[BaseModel]


def section_of(name: str) -> Section:
    """The class whose field the setting is."""
    section: Any = Settings
    for key in name.split(".")[:-1]:
        section = section.model_fields[key].annotation
    return cast(Section, section)


def field_of(name: str) -> FieldInfo:
    return section_of(name).model_fields[name.rpartition(".")[2]]


def type_of(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    if get_origin(annotation) is list:
        return "list"
    if annotation == bool | float:
        return "yes/no or number"
    return {bool: "yes/no", int: "integer", float: "number"}.get(annotation, "text")


def test_every_setting_is_described_and_every_described_setting_exists() -> None:
    assert set(SETTINGS) == set(setting_types())


@pytest.mark.parametrize("name", SETTINGS)
def test_the_default_and_type_of_a_setting_are_right(name: str) -> None:
    facts = SETTINGS[name]
    default = tomllib.loads(f"value = {unquoted(facts['default'])}")["value"]
    assert default == field_of(name).default
    assert facts["type"] == type_of(field_of(name))
    assert facts["meaning"].strip("*").endswith(".")


def read_settings(module: Path) -> Iterator[tuple[Section, str]]:
    """Class and key of each setting that the module reads, as in `settings.http.api_prefix`.

    A section is also what a name stands for that is annotated with its class, or that was assigned
    from an attribute of the section's name.
    """
    nodes = list(ast.walk(ast.parse(module.read_text())))
    known = {key: {section} for key, section in SECTIONS.items()}
    classes = {section.__name__: section for section in SECTIONS.values()}
    for node in nodes:
        match node:
            case (
                ast.arg(arg=name, annotation=ast.Name(id=source))
                | ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Name(id=source))
            ) if source in classes:
                known.setdefault(name, set()).add(classes[source])
            case ast.Assign(
                targets=[ast.Name(id=name) | ast.Attribute(attr=name)],
                value=ast.Attribute(attr=source),
            ) if source in SECTIONS:
                known.setdefault(name.lstrip("_"), set()).add(SECTIONS[source])
    for node in nodes:
        match node:
            case ast.Attribute(ast.Name(id=name) | ast.Attribute(attr=name), key):
                yield from ((section, key) for section in known.get(name.lstrip("_"), ()))


def named_sections(section: Section) -> Iterator[tuple[str, Section]]:
    """Each section below this one, by the last part of its name."""
    for key, field in section.model_fields.items():
        if is_section(field.annotation):
            yield key, field.annotation
            yield from named_sections(field.annotation)


def is_section(annotation: Any) -> TypeGuard[Section]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


SECTIONS = dict(named_sections(Settings))
READ = {setting for module in MODULES for setting in read_settings(module)}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_read_somewhere(name: str) -> None:
    assert (section_of(name), name.rpartition(".")[2]) in READ


@each_page
def test_every_variable_that_is_named_is_a_setting(page: Path) -> None:
    known = {ENVIRONMENT_PREFIX + name.upper().replace(".", "__") for name in setting_types()}
    named = set(re.findall(rf"\b{ENVIRONMENT_PREFIX}\w+", TEXT[page]))
    assert named - {"GATEWAY__SECTION__KEY"} <= known


@each_page
def test_every_setting_that_is_named_exists(page: Path) -> None:
    sections = {name.partition(".")[0] for name in setting_types()}
    known = set(setting_types())
    for span in in_code(TEXT[page]):
        match = re.match(r"([a-z_]+)(\.[a-z_]+)+(?= =|$)", span)
        if match and match[1] in sections and not span.endswith((".py", ".db", ".toml")):
            assert match[0] in known | SPAN_ATTRIBUTES, span


# Errors


def error_classes(base: type[RequestError] = RequestError) -> Iterator[type[RequestError]]:
    for error in base.__subclasses__():
        if hasattr(error, "code"):
            yield error
        yield from error_classes(error)


def test_every_error_code_is_described_with_its_status() -> None:
    described = {
        (status, unquoted(code)) for status, code, *_ in rows(TEXT[ERRORS], 4) if status.isdigit()
    }
    assert described == {
        *((str(error.status), error.code) for error in error_classes()),
        *CODES_WITHOUT_A_CLASS,
    }


# Metrics


def test_every_series_is_described_and_every_described_series_exists() -> None:
    described = {
        (unquoted(name), labels.replace("`", ""), kind, meaning)
        for name, labels, kind, meaning in rows(TEXT[METRICS], 4)
        if name.startswith("`gateway_")
    }
    expected = {family.name: family for family in FAMILIES}
    assert {name for name, *_ in described} == set(expected)
    for name, labels, kind, meaning in described:
        family = expected[name]
        assert labels == ", ".join(family.labels), name
        assert kind == METRIC_TYPES.get(family.kind, family.kind.value), name
        assert meaning.startswith(family.help), name


def test_every_value_of_a_label_is_described() -> None:
    described = {
        (unquoted(label), unquoted(value))
        for label, value, _ in rows(TEXT[METRICS], 3)
        if label.startswith("`")
    }
    sources = {("source", source) for source in (*SOURCES, *CHANGE_SOURCES)}
    routes = {("route", str(route)) for route in RouteClass}
    assert described == sources | routes | {("path", path) for path in PATHS}


def test_the_buckets_that_are_described_are_those_of_histograms() -> None:
    (sentence,) = re.findall(r"buckets of all histograms end at (.+)\.\n", TEXT[METRICS])
    bounds = [
        float(number) * {"µs": 1e-6, "ms": 1e-3, "s": 1.0}[unit]
        for numbers, unit in re.findall(r"([\d., and]+) (µs|ms|s)\b", sentence)
        for number in re.findall(r"[\d.]+", numbers)
    ]
    assert bounds == pytest.approx(list(BOUNDS_S))


# Findings


def test_every_finding_of_the_doctor_is_described_with_its_severity() -> None:
    described = {
        unquoted(code): (severity, "--fix" in meaning)
        for code, severity, meaning in rows(TEXT[OPERATIONS], 3)
        if severity in set(Severity)
    }
    assert described == {code: (kind.severity, kind.fixable) for code, kind in KINDS.items()}


def test_every_finding_of_lint_is_described_with_its_severity() -> None:
    described = {
        unquoted(code): severity
        for code, severity, _ in rows(TEXT[LINT], 3)
        if severity in set(Severity)
    }
    assert described == SEVERITIES


# URLs


def all_routes(tmp_path: Path) -> list[Route]:
    """Every route that any setting gives, and those of `gateway dev`."""
    settings = Settings.model_validate(
        {
            "database": {"url": f"sqlite:///{tmp_path / 'gateway.db'}"},
            "access": {"changes": "users"},
            "identity": {"jwt": {"secret": SECRET}, "signed": {"secret": SECRET}},
        }
    )
    plugin = DevelopedPlugin(UserId(ADA), Slug("Mine"), f"{ADA}_Mine")
    folder = PluginFolder(tmp_path)
    development = Development.of_folder(folder, plugin, settings, tmp_path, lambda *_: None)
    routes = Gateway(settings, development=development).routes
    assert all(isinstance(route, Route) for route in routes)
    return [route for route in routes if isinstance(route, Route)]


def as_documented(route: Route) -> str:
    return route.path.replace("/api/v1", "{api}").replace(":path}", "}")


def documented_urls(page: Path) -> dict[str, set[str]]:
    """URL → methods, of tables whose rows begin with methods."""
    return {
        unquoted(cells[1]): set(cells[0].split())
        for columns in (3, 4)
        for cells in rows(TEXT[page], columns)
        if cells[0].isupper()
    }


def test_every_url_is_described_and_every_described_url_exists(tmp_path: Path) -> None:
    routes = all_routes(tmp_path)
    urls = documented_urls(URLS)
    assert {as_documented(route) for route in routes} <= urls.keys()
    for url, methods in urls.items():
        path = url.replace("{api}", "/api/v1")
        route = next((route for route in routes if route.path_regex.fullmatch(path)), None)
        assert route is not None, url
        assert methods <= (route.methods or {"GET", "HEAD"}), url


# Commands


def commands_named(text: str) -> Iterator[list[str]]:
    """Words after `gateway` in code that runs it."""
    for code in in_code(text):
        for command in code.partition("#")[0].split("&&"):
            words = command.split()
            if words[:1] == ["gateway"] and len(words) > 1 and re.match(r"[a-z-]+$", words[1]):
                yield words[1:]


def test_the_page_of_commands_says_what_their_help_says() -> None:
    """If not: python -m scripts.commands_page"""
    assert TEXT[commands_page.PAGE] == commands_page.renewed(TEXT[commands_page.PAGE])


@each_page
def test_every_command_and_option_that_is_named_exists(page: Path) -> None:
    for name, *words in commands_named(TEXT[page]):
        if name.startswith("-"):
            continue
        assert name in main.commands
        command = load_command(name)
        if isinstance(command, click.Group) and words:
            command = command.commands.get(words[0], command)
        options = options_of(command)
        assert {word for word in words if word.startswith("--")} <= options, (name, words)


def options_of(command: click.Command) -> set[str]:
    return {
        option
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    }


@each_page
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    named = {code.split()[1] for code in in_code(TEXT[page]) if code.startswith("make ")}
    assert named <= targets


def test_the_versions_of_python_are_those_of_the_metadata() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    assert project["requires-python"] == f">={versions[0]}"
    for page in (README, CONTRIBUTING):
        assert f"Needs Python {versions[0]} to {versions[-1]} " in TEXT[page]
    (ran,) = re.findall(r"quick tests were also run on ([^;]*);", TEXT[CONTRIBUTING])
    assert re.findall(r"(3\.\d+)\.\d+", ran) == versions[1:]


# Files and links


@each_page
def test_every_path_of_the_checkout_that_is_named_exists(page: Path) -> None:
    tops = {path.name for path in ROOT.iterdir() if not path.name.startswith(".git")}
    named = [code for code in in_code(TEXT[page]) if re.fullmatch(r"[\w./-]+", code)]
    # plugins/ is also the folder of a site, whose parts a checkout need not have.
    for path in named:
        if path.partition("/")[0] in tops - {"plugins"}:
            assert (ROOT / path).exists(), path


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", TEXT[page]):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.is_file(), target
        if anchor:
            assert anchor in anchors(linked.read_text()), target


def anchors(text: str) -> set[str]:
    """As GitHub makes them from headings."""
    headings = re.findall(r"(?m)^#+ (.+)$", text)
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


def test_the_index_lists_every_page_once_in_the_section_of_its_folder() -> None:
    """The tutorial stands beside the index; every other page in a folder of its kind."""
    sections = re.findall(r"(?ms)^## [^\n]*\n(.*?)(?=^## |\Z)", TEXT[INDEX])
    listed = [re.findall(r"(?m)^\| \[[^]]+\]\(([^)#]+)\)", section) for section in sections]
    assert sorted(itertools.chain(*listed)) == sorted(
        page.relative_to(INDEX.parent).as_posix() for page in DOCS if page != INDEX
    )
    for section in listed:
        assert len({page.partition("/")[0] for page in section}) == 1, section


def test_the_readme_leads_to_the_index() -> None:
    assert "](docs/README.md)" in TEXT[README]


def test_the_readme_is_read_in_some_minutes() -> None:
    assert len(TEXT[README].splitlines()) <= 120
