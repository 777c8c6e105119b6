"""What the document describes: every route, every error, every name, and nothing else."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from starlette.routing import Route

from gateway.endpoints import name_forms
from gateway.endpoints.openapi.document import OPERATIONS
from gateway.endpoints.openapi.refusals import FIELDS
from gateway.errors import DevServerFailed, MethodNotAllowed, RangeNotSatisfiable, RequestError
from gateway.names import (
    parse_new_version,
    parse_or_none,
    parse_slug,
    parse_source_url,
    parse_user_id,
    parse_version,
)
from tests.support.openapi import (
    Document,
    gateway_with_everything,
    operations_of,
    references_in,
    resolve,
)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    return gateway_with_everything(tmp_path_factory.mktemp("site")).openapi()


def error_classes(base: type[RequestError] = RequestError) -> list[type[RequestError]]:
    found = [base] if hasattr(base, "code") else []
    return [*found, *(it for below in base.__subclasses__() for it in error_classes(below))]


def codes_in(document: Document, value: Any) -> Iterator[str]:
    """The words of each `code` in a schema, and in those that it refers to."""
    if isinstance(value, dict):
        value = resolve(document, value)
        yield from value.get("code", {}).get("enum", ())
        value = list(value.values())
    for part in value if isinstance(value, list) else ():
        yield from codes_in(document, part)


# Routes


def test_every_route_has_its_operations_and_every_operation_its_route(tmp_path: Path) -> None:
    gateway = gateway_with_everything(tmp_path)
    routes = [it for it in gateway.routes if isinstance(it, Route)]
    paths = {route.path.replace(":path}", "}") for route in routes}
    described: defaultdict[str, set[str]] = defaultdict(set)
    for operation in OPERATIONS:
        described[(operation.route or operation.path).replace("{api}", "/api/v1")].add(
            operation.method.upper()
        )
    assert described.keys() == paths
    for route in routes:
        methods = described[route.path.replace(":path}", "}")]
        assert methods <= (route.methods or {"GET"}), route.path
        assert ("GET" in methods) == ("GET" in (route.methods or {"GET"})), route.path


def test_only_what_the_settings_give_is_described(tmp_path: Path) -> None:
    access = {"changes": "off", "public": False}
    gateway = gateway_with_everything(
        tmp_path,
        access=access,
        identity={"jwt": {"secret": "x" * 32}},
        http={"api_prefix": "/application/v2"},
        observability={"metrics": False},
    )
    document = gateway.openapi()
    prefixes = {path.rpartition("/plugins/")[0] for path in document["paths"] if "/-/" not in path}
    assert prefixes == {"/application/v2"}
    assert {method for _, method, _ in operations_of(document)} == {"get", "post"}
    assert {path for path, method, _ in operations_of(document) if method == "post"} == {
        "/-/cache/purge",
        "/-/explain",
    }
    assert "/-/metrics" not in document["paths"]


# Errors


def test_every_error_of_the_tree_is_described_with_its_status(document: Document) -> None:
    described = {
        (int(status), code)
        for _, _, operation in operations_of(document)
        for status, response in operation["responses"].items()
        for code in codes_in(document, response)
    }
    errors = {(error.status, error.code) for error in error_classes()}
    errors -= {(DevServerFailed.status, DevServerFailed.code)}  # of `gateway dev --from` alone
    assert errors | {(500, "internal_error")} == described


def test_errors_have_the_fields_of_their_classes() -> None:
    of_instances = {
        RangeNotSatisfiable: RangeNotSatisfiable(1),
        MethodNotAllowed: MethodNotAllowed(""),
    }
    fields: defaultdict[int, set[str]] = defaultdict(set)
    for error in error_classes():
        headers = of_instances[error].headers if error in of_instances else error.headers
        fields[error.status] |= {name for name, _ in headers}
    assert {status: {*FIELDS.get(status, ())} for status in fields} == fields


# Form


def test_every_reference_leads_to_a_component_and_every_component_is_used(
    document: Document,
) -> None:
    named = {
        f"#/components/{kind}/{name}"
        for kind, names in document["components"].items()
        for name in names
        if kind != "securitySchemes"
    }
    assert set(references_in(document)) == named


def test_operations_have_ids_of_their_own_summaries_and_known_schemes(document: Document) -> None:
    operations = [operation for _, _, operation in operations_of(document)]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    schemes = {name for it in operations for one in it["security"] for name in one}
    assert schemes == document["components"]["securitySchemes"].keys()
    for operation in operations:
        assert re.fullmatch(r"[A-Z][^.]+", operation["summary"])


def test_every_parameter_of_a_path_is_described(document: Document) -> None:
    for path, _, operation in operations_of(document):
        parameters = [resolve(document, it) for it in operation["parameters"]]
        in_path = {it["name"] for it in parameters if it["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", path))


# Names


def schema_of(annotation: Any) -> Document:
    return TypeAdapter(annotation).json_schema()


FORMS = [
    (name_forms.SLUG, parse_slug),
    (name_forms.VERSION, parse_version),
    (schema_of(name_forms.NewVersionText), parse_new_version),
    (name_forms.USER_ID, parse_user_id),
    (schema_of(name_forms.WebUrlText), parse_source_url),
]


@pytest.mark.parametrize(("form", "parse"), FORMS)
@given(data=st.data())
def test_what_has_the_form_of_a_name_is_accepted(
    form: Document, parse: Callable[[object], Any], data: st.DataObject
) -> None:
    name = data.draw(st.from_regex(re.compile(form["pattern"]), fullmatch=True))
    assume(len(name) <= form.get("maxLength", len(name)) and not name.endswith("\n"))
    assume(not re.match(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", name))
    assert parse_or_none(parse, name) is not None


@pytest.mark.parametrize(("form", "parse"), FORMS)
@given(text=st.text(max_size=110) | st.from_regex(r"[A-Za-z0-9_.@+-]{0,110}", fullmatch=True))
@example("a" * 64)
@example("a" * 65)
@example("a" * 100)
@example("a" * 101)
@example("a.")
@example("v1.0.0")
@example("https://example.org/a b")
@example("HTTPS://example.org/a?b#c")
def test_what_has_another_form_is_refused(
    form: Document, parse: Callable[[object], Any], text: str
) -> None:
    if re.search(form["pattern"], text) is None:
        assert parse_or_none(parse, text) is None
