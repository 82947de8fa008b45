"""The GCE metadata server of the local Dataflow's imaginary machines.

google-auth, Beam and gcloud find their credentials here at once, not after minutes of
retries. Its token is worthless.
https://cloud.google.com/compute/docs/metadata/overview
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

# Not of the form that google-auth takes for a service account's, or it would look up the regions
# in which the account may be used at googleapis.com, with a warning for every try.
_EMAIL = "worker@local-dataflow"
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_TOKEN = {"access_token": "local-dataflow", "expires_in": 3600, "token_type": "Bearer"}
_ROOT = "/computeMetadata/v1"
_FLAVOR = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"}


def project_number(project_id: str) -> int:
    """Return a project's number, which is always the same for the same id."""
    digest = hashlib.sha256(project_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") % 900_000_000_000 + 100_000_000_000


def metadata_routes(*, project_id: str, zone: str) -> list[Route]:
    """Return the routes of the metadata server: its root, which answers pings, and its tree."""
    account = {"aliases": ["default"], "email": _EMAIL, "scopes": list(_SCOPES)}
    tree = {
        "instance": {
            "service-accounts": {
                "default": {**account, "token": _TOKEN},
                _EMAIL: {**account, "token": _TOKEN},
            },
            "zone": f"projects/{project_number(project_id)}/zones/{zone}",
        },
        "project": {
            "numeric-project-id": str(project_number(project_id)),
            "project-id": project_id,
        },
        "universe": {"universe-domain": "googleapis.com"},
    }

    def ping(request: Request) -> Response:
        return PlainTextResponse("computeMetadata/\n", headers=_FLAVOR)

    def read(request: Request) -> Response:
        return _read(tree, request)

    return [Route("/", ping), Route(_ROOT + "/{path:path}", read), Route(_ROOT, read)]


def _read(tree: Mapping[str, Any], request: Request) -> Response:
    if request.headers.get("Metadata-Flavor") != "Google":
        return PlainTextResponse(
            "Missing Metadata-Flavor:Google header.\n", status_code=403, headers=_FLAVOR
        )
    node: Any = tree
    for name in request.path_params.get("path", "").strip("/").split("/"):
        if name:
            if not isinstance(node, Mapping) or name not in node:
                return PlainTextResponse("Not found\n", status_code=404, headers=_FLAVOR)
            node = node[name]
    if node is _TOKEN:
        return _json(node)
    if not isinstance(node, Mapping):
        text = "\n".join(node) if isinstance(node, list) else node
        return PlainTextResponse(text, headers=_FLAVOR | {"Content-Type": "application/text"})
    if request.query_params.get("recursive", "").lower() == "true":
        return _json(_camel_case(node))
    names = (name + "/" * isinstance(item, Mapping) for name, item in sorted(node.items()))
    return PlainTextResponse(
        "".join(f"{name}\n" for name in names),
        headers=_FLAVOR | {"Content-Type": "application/text"},
    )


def _json(content: object) -> Response:
    return Response(orjson.dumps(content), headers=_FLAVOR, media_type="application/json")


def _camel_case(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a folder as ``?recursive=true`` shows it: names in camelCase, no tokens."""
    return {
        _camel_case_name(name): _camel_case(item) if isinstance(item, Mapping) else item
        for name, item in node.items()
        if item is not _TOKEN
    }


def _camel_case_name(name: str) -> str:
    if "@" in name:
        return name
    first, *rest = name.split("-")
    return first + "".join(word.title() for word in rest)
