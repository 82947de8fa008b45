"""Google's APIs over real HTTP, as far as the live checks use them.

It follows the official discovery documents: a request that matches no method gets a 400, and every
answer is checked against its method's schema before it is sent.
"""

from __future__ import annotations

import json
import re
import time
from contextlib import ExitStack
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.schemas import Schemas, read_document
from tests.servers import QuietHandler, serve_handler

_VERSIONS = {"cloudresourcemanager": "v3"}


def methods(resources: dict[str, Any]):
    for resource in resources.values():
        yield from resource.get("methods", {}).values()
        yield from methods(resource.get("resources", {}))


def _pattern(method: dict[str, Any]) -> str:
    return re.sub(r"\{\w+\}", "([^/]+)", method.get("flatPath") or method["path"])


class GoogleApis:
    """The project's contents, by method id and resource; ``broken`` methods answer with a status.

    ``answers`` maps a method id to a function of the path, the query and the body that returns the
    answer, or None for a 404.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.broken: dict[str, int] = {}
        self.slow: set[str] = set()
        self.asked: list[str] = []
        apis = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                apis._answer(self, None)

            def do_POST(self) -> None:
                apis._answer(self, json.loads(self.read_body()))

        self._server = ExitStack()
        port = self._server.enter_context(serve_handler(Handler))
        self.endpoint = f"http://localhost:{port}/"

    def close(self) -> None:
        self._server.close()

    def _answer(self, handler: QuietHandler, body: Any) -> None:
        url = urlsplit(handler.path)
        api, _, path = url.path.lstrip("/").partition("/")
        document = f"{api}.{_VERSIONS.get(api, 'v1')}"
        matching = {
            pattern: method
            for method in methods(read_document(document)["resources"])
            if method["httpMethod"] == handler.command
            and re.fullmatch(pattern := _pattern(method), path)
        }
        if not matching:
            return _refuse(handler, 400, f"no method for {handler.path}")
        # ".../topics/x:getIamPolicy" is not the name of a topic.
        method = matching[max(matching, key=len)]
        name = method["id"]
        schemas = Schemas(document)
        self.asked.append(name)
        query = parse_qs(url.query)
        for key in query:
            assert key == "alt" or key in method["parameters"], f"{name}: {key}"
        if body is not None:
            assert schemas.find_problems(method["request"]["$ref"], body) == [], name
        if name in self.slow:
            time.sleep(2)
        if name in self.broken:
            return _refuse(handler, self.broken[name], "not for you")
        answer = self.answers[name](unquote(path), query, body)
        if answer is None:
            return _refuse(handler, 404, "not found")
        assert schemas.find_problems(method["response"]["$ref"], answer) == [], name
        return handler.answer(200, json.dumps(answer).encode())


def _refuse(handler: QuietHandler, status: int, message: str) -> None:
    handler.answer(status, json.dumps({"error": {"message": message}}).encode())
