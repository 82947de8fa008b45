"""Register projects and list them, at a path that no Google API has.

POST    {"name": "churn", "folder": "/home/ada/churn", "python": "/home/ada/.venv/bin/python"}
GET     the projects, and what is missing of each
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from launcher.emulator.runtime.projects import BadProjectError, Project, Projects
from launcher.emulator.service import errors
from launcher.emulator.service.bodies import read_json

_FIELDS = ("name", "folder", "python")


def projects_route(path: str, projects: Projects) -> Route:
    """Return the route by which projects are registered and listed."""

    async def control(request: Request) -> Response:
        if request.method == "POST":
            body = await read_json(request)
            if not isinstance(body, Mapping) or set(body) != set(_FIELDS):
                raise errors.invalid_argument(
                    f"A project is an object with the fields {', '.join(_FIELDS)}."
                )
            try:
                name, folder, python = (str(body[field]) for field in _FIELDS)
                await run_in_threadpool(projects.register, name, folder, python)
            except BadProjectError as error:
                raise errors.invalid_argument(str(error)) from error
        content = {"projects": [_to_json(project) for project in projects.list()]}
        return Response(orjson.dumps(content), media_type="application/json")

    return Route(path, control, methods=["GET", "POST"])


def _to_json(project: Project) -> dict[str, str]:
    return {
        "name": project.name,
        "folder": project.folder,
        "python": project.python,
        "missing": project.missing,
    }
