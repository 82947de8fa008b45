"""Find the API method of a request, with the official discovery document.

Routing matches the percent-encoded path and decodes each segment separately, because an object
name may contain `%2F` and look like any other route.
"""

import importlib.resources
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from launcher.emulator.storage.errors import InvalidRequest

_DOCUMENT = "discovery_cache/documents/storage.v1.json"


@dataclass(frozen=True, kw_only=True)
class Method:
    """One method of the API: its id, such as storage.objects.get, and where it lives."""

    id: str
    verb: str
    segments: tuple[str, ...]
    required: frozenset[str]


class MethodTable:
    """The methods of Cloud Storage JSON API v1; `ids` names all of them."""

    def __init__(self) -> None:
        document = importlib.resources.files("googleapiclient").joinpath(_DOCUMENT)
        self._by_shape: dict[tuple[str, int], list[Method]] = defaultdict(list)
        methods = list(_methods(json.loads(document.read_text())))
        self.ids = frozenset(method.id for method in methods)
        for method in methods:
            self._by_shape[method.verb, len(method.segments)].append(method)

    def find(self, verb: str, path: str) -> tuple[Method, dict[str, str]] | None:
        """Return the method of a path below the service root, and its path arguments.

        Args:
            verb: HTTP method.
            path: percent-encoded, without a leading slash: b/my-bucket/o/my%2Fobject.

        Raises:
            InvalidRequest: an argument is not percent-encoded UTF-8.
        """
        segments = path.split("/")
        for method in self._by_shape[verb, len(segments)]:
            pairs = list(zip(method.segments, segments, strict=True))
            if all(want.startswith("{") or want == got for want, got in pairs):
                arguments = {w[1:-1]: got for w, got in pairs if w.startswith("{")}
                return method, {name: _decode(value) for name, value in arguments.items()}
        return None


def _methods(resource: Mapping[str, Any]) -> Iterator[Method]:
    for method in resource.get("methods", {}).values():
        parameters = method.get("parameters", {}).items()
        yield Method(
            id=method["id"],
            verb=method["httpMethod"],
            segments=tuple(method["path"].split("/")),
            required=frozenset(n for n, p in parameters if p.get("required")),
        )
    for child in resource.get("resources", {}).values():
        yield from _methods(child)


def _decode(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"Not percent-encoded UTF-8 in the path: {segment!r}") from error
