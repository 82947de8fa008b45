"""Google's APIs over real HTTP, as far as the live checks ask them.

Answers by the official discovery documents: a request that fits no method is a 400, and every
answer is judged by its method's schema before it is sent.
"""

from __future__ import annotations

import json
import re
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import googleapiclient

_DOCUMENTS = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
_VERSIONS = {"cloudresourcemanager": "v3"}
_TYPES = {"string": str, "boolean": bool, "integer": int, "number": (int, float)}


@cache
def read_document(api: str) -> dict[str, Any]:
    return json.loads((_DOCUMENTS / f"{api}.{_VERSIONS.get(api, 'v1')}.json").read_text())


def methods(resources: dict[str, Any]):
    for resource in resources.values():
        yield from resource.get("methods", {}).values()
        yield from methods(resource.get("resources", {}))


def _pattern(method: dict[str, Any]) -> str:
    return re.sub(r"\{\w+\}", "([^/]+)", method.get("flatPath") or method["path"])


def judge(document: dict[str, Any], schema: dict[str, Any], value: Any, path: str) -> None:
    """Fail where a value is not of its schema."""
    if "$ref" in schema:
        schema = document["schemas"][schema["$ref"]]
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for key, item in value.items():
            inner = properties.get(key) or schema.get("additionalProperties")
            assert inner, f"{path}.{key}: the schema has no such field"
            judge(document, inner, item, f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            judge(document, schema["items"], item, f"{path}[]")
    else:
        assert isinstance(value, _TYPES[schema["type"]]), f"{path}: {value!r}"


class GoogleApis:
    """What the project holds, by method id and resource; ``broken`` methods answer with a status.

    ``answers`` maps a method id to a function of the path, the query and the body that returns the
    answer, or None for a 404.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.broken: dict[str, int] = {}
        self.slow: set[str] = set()
        self.asked: list[str] = []
        apis = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # headers and body in one packet: two would wait for each other

            def do_GET(self) -> None:
                apis._answer(self, None)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                apis._answer(self, json.loads(body))

            def log_message(self, *args: object) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("localhost", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://localhost:{self._server.server_port}/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler, body: Any) -> None:
        url = urlsplit(handler.path)
        api, _, path = url.path.lstrip("/").partition("/")
        document = read_document(api)
        matching = {
            pattern: method
            for method in methods(document["resources"])
            if method["httpMethod"] == handler.command
            and re.fullmatch(pattern := _pattern(method), path)
        }
        if not matching:
            return _send(handler, 400, {"error": {"message": f"no method for {handler.path}"}})
        method = matching[max(matching, key=len)]  # ".../topics/x:getIamPolicy" is no topic's name
        name = method["id"]
        self.asked.append(name)
        query = parse_qs(url.query)
        for key in query:
            assert key == "alt" or key in method["parameters"], f"{name}: {key}"
        if body is not None:
            judge(document, method["request"], body, name)
        if name in self.slow:
            time.sleep(2)
        if name in self.broken:
            return _send(handler, self.broken[name], {"error": {"message": "not for you"}})
        answer = self.answers[name](unquote(path), query, body)
        if answer is None:
            return _send(handler, 404, {"error": {"message": "not found"}})
        judge(document, method["response"], answer, name)
        return _send(handler, 200, answer)


def _send(handler: BaseHTTPRequestHandler, status: int, answer: Any) -> None:
    content = json.dumps(answer).encode()
    handler.send_response(status)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)
