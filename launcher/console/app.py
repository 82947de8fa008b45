"""The console's application: its routes, and the pages for results and errors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import jinja2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from launcher.console import (
    demo_pages,
    formats,
    job_pages,
    picker_pages,
    result_pages,
    template_pages,
)
from launcher.console.apis import ApiRefusal, Apis, Unreachable
from launcher.console.guard import OwnPagesOnly
from launcher.console.page import Answer, Console, Json, Page, Picture, Redirect, Visit

_FOLDER = Path(__file__).parent
_STATIC = _FOLDER / "static"
_LARGEST_FORM_BYTES = 1 << 20

Handler = Callable[[Console, Visit], Answer]

ROUTES: Sequence[tuple[str, str, Handler]] = (
    ("GET", "/", job_pages.home),
    ("GET", "/templates", template_pages.list_templates),
    ("POST", "/demo", demo_pages.set_up_demo),
    ("GET", "/launch", template_pages.show_form),
    ("POST", "/launch/check", template_pages.check_form),
    ("POST", "/launch", template_pages.launch),
    ("GET", "/pick", picker_pages.pick),
    ("GET", "/jobs", job_pages.list_jobs),
    ("GET", "/jobs/{region}/{job_id}", job_pages.show_job),
    ("GET", "/jobs/{region}/{job_id}/history.json", job_pages.show_history),
    ("GET", "/jobs/{region}/{job_id}/picture", result_pages.show_picture),
    ("GET", "/jobs/{region}/{job_id}/again", template_pages.launch_again),
    ("POST", "/jobs/{region}/{job_id}/cancel", job_pages.cancel),
    ("POST", "/jobs/{region}/{job_id}/drain", job_pages.drain),
)


def build_app(apis: Apis, project: str) -> ASGIApp:
    """Build the console.

    Args:
        project: the project that pages show by default.
    """
    console = Console(apis=apis, project=project)
    environment = build_environment()
    routes = [
        Route(path, _endpoint(handler, console, environment), methods=[method])
        for method, path, handler in ROUTES
    ]
    return OwnPagesOnly(
        Starlette(
            routes=[
                *routes,
                Mount(f"/static/{_fingerprint()}", _Forever(directory=_STATIC), name="static"),
            ],
            exception_handlers={
                404: partial(_show_missing, environment),
                Exception: partial(_show_own_failure, environment),
            },
        )
    )


def build_environment() -> jinja2.Environment:
    """Return the templates of the pages."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    environment.filters.update(formats.FILTERS)
    environment.globals.update(
        static=f"/static/{_fingerprint()}",
        link=_link,
        job_path=lambda region, job_id, rest="": f"/jobs/{quote(region)}/{quote(job_id)}{rest}",
    )
    return environment


def _link(path: str, **query: str) -> str:
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path


def _endpoint(
    handler: Handler, console: Console, environment: jinja2.Environment
) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        content = bytearray()
        async for piece in request.stream():
            content += piece
            if len(content) > _LARGEST_FORM_BYTES:
                return _error(environment, 413, "The form is larger than 1 MiB.")
        form = dict(parse_qsl(content.decode(errors="replace"), keep_blank_values=True))
        visit = Visit(
            path=request.path_params,
            query=dict(request.query_params),
            form=form,
            is_partial=request.headers.get("hx-request") == "true",
            project=request.query_params.get("project") or console.project,
            url=str(request.url.path),
        )
        return await run_in_threadpool(_answer, handler, console, environment, visit)

    return answer


def _answer(
    handler: Handler, console: Console, environment: jinja2.Environment, visit: Visit
) -> Response:
    try:
        answer = handler(console, visit)
        match answer:
            case Page():
                content = _render(environment, console, visit, answer)
                return HTMLResponse(content, answer.status)
            case Redirect(target) if visit.is_partial:
                return Response(headers={"HX-Redirect": target})
            case Redirect(target):
                return RedirectResponse(target, 303)
            case Picture(content):
                return Response(content, media_type="image/png")
            case Json(content):
                return JSONResponse(content)
    except ApiRefusal as refusal:
        return _error(environment, refusal.status, refusal.message)
    except Unreachable as problem:
        return _error(environment, 502, str(problem))


def _render(environment: jinja2.Environment, console: Console, visit: Visit, page: Page) -> str:
    common: Mapping[str, object] = {
        "project": visit.project,
        "projects": [] if visit.is_partial else console.list_projects(visit.project),
        "own_project": console.project,
        "is_partial": visit.is_partial,
        "section": page.section,
    }
    return environment.get_template(page.template).render(**common, **page.values)


def _error(environment: jinja2.Environment, status: int, message: str) -> Response:
    content = environment.get_template("error.html").render(message=message, status=status)
    return HTMLResponse(content, status)


async def _show_missing(
    environment: jinja2.Environment, request: Request, error: Exception
) -> Response:
    return _error(environment, 404, "There is no such page.")


async def _show_own_failure(
    environment: jinja2.Environment, request: Request, error: Exception
) -> Response:
    text = f"The console itself failed: {type(error).__name__}: {error}. Its log says where."
    return _error(environment, 500, text)


class _Forever(StaticFiles):
    """Static files whose URL changes with their content."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for path in sorted(_STATIC.rglob("*")):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
