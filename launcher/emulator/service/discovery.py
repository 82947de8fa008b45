"""Dataflow's official discovery document, against which every request and every answer is checked.

Loads the static document that ships with google-api-python-client (nothing is fetched), names
its methods and their routes, and reads query parameters. Message bodies are read by ``schema``.
https://dataflow.googleapis.com/$discovery/rest?version=v1b3
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from launcher.emulator.service import errors
from launcher.emulator.service.errors import FieldViolation
from launcher.emulator.service.schema import Messages, Schema, snake_case


@dataclass(frozen=True, kw_only=True)
class Method:
    """One method of the API.

    ``path`` is its route with every segment named (``/v1b3/projects/{projectId}/jobs``);
    ``request`` and ``response`` are names of messages.
    """

    id: str
    http_method: str
    path: str
    query: Mapping[str, Schema]
    request: str | None
    response: str


HONOURED_SYSTEM_PARAMETERS = frozenset({"alt", "prettyPrint"})


@dataclass(frozen=True, kw_only=True)
class Query:
    """The query parameters of a call: the method's own, and those that every Google API takes."""

    parameters: Mapping[str, Any]
    system: Mapping[str, str]

    @property
    def numeric_enums(self) -> bool:
        """Whether the caller requested ``$alt=json;enum-encoding=int``."""
        return "enum-encoding=int" in self.system.get("alt", "")

    @property
    def pretty_print(self) -> bool:
        return self.system.get("prettyPrint") != "false"


class Discovery:
    """The methods and messages of one discovery document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.revision: str = document["revision"]
        self.messages = Messages(document["schemas"])
        self.methods = {method.id: method for method in _walk(document)}
        self.system_parameters = frozenset(
            name.removeprefix("$.") for name in document["parameters"]
        )

    def parse_query(self, method: Method, items: Iterable[tuple[str, str]]) -> Query:
        """Return the query parameters of a call to ``method``, checked.

        Raises:
            ApiError: 400, one is unknown or has a wrong value; 501, another form than JSON.
        """
        names = {spelling: name for name in method.query for spelling in (snake_case(name), name)}
        parameters: dict[str, Any] = {}
        system: dict[str, str] = {}
        for spelling, value in items:
            plain = spelling.removeprefix("$").removeprefix(".")
            if spelling in names:
                name = names[spelling]
                parameters[name] = self.messages.parse_scalar(method.query[name], value, name)
            elif plain in self.system_parameters:
                system[plain] = value
            else:
                raise errors.invalid_request(
                    [
                        FieldViolation(
                            "",
                            f'Invalid JSON payload received. Unknown name "{spelling}": Cannot '
                            f"bind query parameter. Field '{spelling}' could not be found in "
                            "request message.",
                        )
                    ]
                )
        form = system.get("alt", "json").partition(";")[0]
        if form != "json":
            raise errors.unimplemented(method.id, f"alt={form}")
        return Query(parameters=parameters, system=system)


def load_discovery() -> Discovery:
    """Read the static Dataflow v1b3 document of google-api-python-client."""
    documents = importlib.resources.files("googleapiclient.discovery_cache") / "documents"
    return Discovery(orjson.loads((documents / "dataflow.v1b3.json").read_bytes()))


def _walk(resource: Mapping[str, Any]) -> Iterator[Method]:
    for method in resource.get("methods", {}).values():
        yield Method(
            id=method["id"],
            http_method=method["httpMethod"],
            path="/" + method["flatPath"],
            query={
                name: schema
                for name, schema in method["parameters"].items()
                if schema["location"] == "query"
            },
            request=method["request"]["$ref"] if "request" in method else None,
            response=method["response"]["$ref"],
        )
    for inner in resource.get("resources", {}).values():
        yield from _walk(inner)
