"""How the types of JSON answers are declared.

The type checker holds the code that makes an answer against its type, and /-/openapi.json is made
from the type and its docstrings. So an answer is described once.
"""

from typing import Any

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

JsonObject = dict[str, Any]

json_object = with_config(ConfigDict(use_attribute_docstrings=True))
"""Decorates a TypedDict whose docstrings the OpenAPI document shows."""

__all__ = ["JsonObject", "TypedDict", "json_object"]
