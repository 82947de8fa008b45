"""Google's official discovery documents, and checks of JSON against their schemas."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

_TYPES: Mapping[str, Any] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "array": list,
    "object": dict,
}


@functools.cache
def read_document(name: str) -> dict[str, Any]:
    """Return a document, for example ``dataflow.v1b3``."""
    folder = resources.files("googleapiclient.discovery_cache") / "documents"
    document: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return document


class Schemas:
    """The schemas of one document."""

    def __init__(self, name: str = "dataflow.v1b3") -> None:
        self._schemas = read_document(name)["schemas"]

    def properties(self, name: str) -> dict[str, Any]:
        properties: dict[str, Any] = self._schemas[name]["properties"]
        return properties

    def find_problems(self, name: str, value: Any) -> list[str]:
        """Return what in a value does not fit a schema: unknown fields, wrong types."""
        return list(self._judge({"$ref": name}, value, ""))

    def _judge(self, schema: Mapping[str, Any], value: Any, path: str) -> Iterator[str]:
        schema = self._schemas[schema["$ref"]] if "$ref" in schema else schema
        kind = schema["type"]
        if kind == "any":
            return
        if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
            yield f"{path}: {value!r} is not {kind}"
        elif "enum" in schema and value not in schema["enum"]:
            yield f"{path}: {value!r} is none of {schema['enum']}"
        elif kind == "array":
            for index, item in enumerate(value):
                yield from self._judge(schema["items"], item, f"{path}[{index}]")
        elif kind == "object":
            properties = schema.get("properties", {})
            for key, item in value.items():
                inner = properties.get(key, schema.get("additionalProperties"))
                if inner is None:
                    yield f"{path}.{key}: unknown"
                else:
                    yield from self._judge(inner, item, f"{path}.{key}")
