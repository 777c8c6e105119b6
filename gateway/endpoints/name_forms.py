"""The forms of names in JSON Schema, for requests that name something.

They accept what names.py accepts, and also names that Windows takes for a device. A test compares
the two.
"""

from typing import Annotated

from pydantic import WithJsonSchema

from gateway.http.json_types import JsonObject


def _name(first: str, others: str, most: int) -> JsonObject:
    """No such name ends with a dot, which Windows would drop."""
    pattern = f"^{first}(?:[.{others}]{{0,{most - 2}}}[{others}])?$"
    return {"type": "string", "pattern": pattern}


SLUG = _name("[A-Za-z0-9_]", "A-Za-z0-9_-", 100)
VERSION = _name("[A-Za-z0-9_]", "A-Za-z0-9_+-", 64)
_NEW_VERSION = _name("(?![vV][0-9])[A-Za-z0-9_]", "A-Za-z0-9_+-", 64)
USER_ID = _name("[A-Za-z0-9_]", "A-Za-z0-9_@+-", 100)
BUILD: JsonObject = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
_NO_CONTROLS = r"\s\u0000-\u001f\u007f-\u009f"
_WEB_URL: JsonObject = {
    "type": "string",
    "format": "uri",
    "pattern": f"^[Hh][Tt][Tt][Pp][Ss]?://[^{_NO_CONTROLS}/?#][^{_NO_CONTROLS}]*$",
    "maxLength": 2048,
}

SlugText = Annotated[str, WithJsonSchema(SLUG)]
VersionText = Annotated[str, WithJsonSchema(VERSION)]
NewVersionText = Annotated[str, WithJsonSchema(_NEW_VERSION)]
UserIdText = Annotated[str, WithJsonSchema(USER_ID)]
WebUrlText = Annotated[str, WithJsonSchema(_WEB_URL)]
