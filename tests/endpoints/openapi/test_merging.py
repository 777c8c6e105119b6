"""The gateway's operations in the document of a FastAPI application."""

from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer
from pydantic import BaseModel

from gateway import merge_openapi
from tests.support.openapi import (
    Document,
    gateway_with_everything,
    operations_of,
    references_in,
    resolve,
)

PREFIX = "/assets"


class Plugin(BaseModel):
    """The gateway has an answer of this name too."""

    price: int


@pytest.fixture(scope="module")
def own() -> Document:
    app = FastAPI(openapi_tags=[{"name": "Plugins", "description": "the application's"}])

    @app.get("/plugin", tags=["Plugins"], operation_id="getManifest")
    def plugin(_user: Any = Depends(HTTPBearer())) -> Plugin:  # noqa: B008 (FastAPI's way)
        return Plugin(price=1)

    return app.openapi()


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Document:
    return gateway_with_everything(tmp_path_factory.mktemp("site")).openapi()


@pytest.fixture(scope="module")
def merged(own: Document, gateways: Document) -> Document:
    return merge_openapi(own, gateways, PREFIX)


def test_every_operation_of_the_gateway_stands_below_the_prefix(
    merged: Document, own: Document, gateways: Document
) -> None:
    added = {PREFIX + path for path in gateways["paths"]}
    assert merged["paths"].keys() == added | own["paths"].keys()


def test_nothing_of_the_application_changes(merged: Document, own: Document) -> None:
    assert merged["paths"]["/plugin"] == own["paths"]["/plugin"]
    assert merged["info"] == own["info"]
    assert own["tags"][0] in merged["tags"]
    for kind, named in own["components"].items():
        for name, component in named.items():
            assert merged["components"][kind][name] == component


def test_names_of_the_gateway_differ_from_those_of_the_application(merged: Document) -> None:
    operations = [operation for _, _, operation in operations_of(merged)]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    tags = [tag["name"] for tag in merged["tags"]]
    assert len(set(tags)) == len(tags)
    assert {tag for operation in operations for tag in operation["tags"]} <= set(tags)


def test_every_reference_and_scheme_is_there(merged: Document) -> None:
    for reference in references_in(merged):
        assert resolve(merged, {"$ref": reference})
    schemes = merged["components"]["securitySchemes"]
    for _, _, operation in operations_of(merged):
        for alternative in operation.get("security", ()):
            assert alternative.keys() <= schemes.keys()


def test_what_is_merged_is_a_new_document(own: Document, gateways: Document) -> None:
    before = repr(own), repr(gateways)
    assert merge_openapi(own, gateways) == merge_openapi(own, gateways, "")
    assert (repr(own), repr(gateways)) == before


def test_two_gateways_stand_beside_each_other(own: Document, gateways: Document) -> None:
    once = merge_openapi(own, gateways, "/one", names="One")
    twice = merge_openapi(once, gateways, "/two", names="Two")
    ids = [operation["operationId"] for _, _, operation in operations_of(twice)]
    assert len(set(ids)) == len(ids) == 2 * len([*operations_of(gateways)]) + 1
    assert {"OneError", "TwoError"} <= twice["components"]["schemas"].keys()


def test_an_application_without_components_gets_those_of_the_gateway(
    tmp_path: Path, gateways: Document
) -> None:
    merged = merge_openapi(FastAPI().openapi(), gateways, PREFIX)
    assert "GatewayError" in merged["components"]["schemas"]
