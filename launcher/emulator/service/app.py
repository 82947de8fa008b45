"""The HTTP interface of the local Dataflow: routes, JSON in, JSON out, errors in Google's form.

The routes are those of the discovery document, named by method id. Bare dicts end here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from launcher.emulator.service import errors
from launcher.emulator.service.bodies import read_json
from launcher.emulator.service.discovery import Discovery, Method
from launcher.emulator.service.faults import FaultQueue, fault_routes
from launcher.emulator.service.methods import Call


def build_dataflow_app(
    *,
    discovery: Discovery,
    dispatch: Callable[[Call], Mapping[str, Any]],
    faults: FaultQueue,
    routes: Sequence[Route] = (),
    check_responses: bool = False,
) -> Starlette:
    """Build the app that serves the Dataflow API and, in addition, ``routes``.

    Args:
        discovery: the methods, their routes and messages.
        dispatch: answers a call, or raises ApiError; it may block, because it is called in a worker
            thread.
        faults: the faults that strike calls; their route is added here.
        routes: further routes on the same port, such as the metadata server's.
        check_responses: fail on an answer that does not fit its schema; for tests.
    """

    def endpoint(method: Method) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            query = discovery.parse_query(method, request.query_params.multi_items())
            body: Mapping[str, Any] = {}
            if method.request is not None:
                body = discovery.messages.parse(method.request, await read_json(request))
            call = Call(method=method, path=request.path_params, query=query.parameters, body=body)
            result = discovery.messages.render(
                method.response,
                await run_in_threadpool(dispatch, call),
                numeric_enums=query.numeric_enums,
            )
            if check_responses and not query.numeric_enums:
                discovery.messages.check(method.response, result)
            return _json(result, pretty=query.pretty_print)

        async def answer_or_fail(request: Request) -> Response:
            return await faults.play(method.id, request, lambda: answer(request))

        return answer_or_fail

    api = [
        Route(method.path, endpoint(method), methods=[method.http_method], name=method.id)
        for method in discovery.methods.values()
    ]
    app = Starlette(
        routes=[*api, *fault_routes(faults), *routes],
        exception_handlers={
            errors.ApiError: _answer_error,
            ClientDisconnect: _answer_nobody,
            HTTPException: _answer_routing_error,
            Exception: _answer_internal_error,
        },
    )
    app.router.redirect_slashes = False
    return app


def _json(content: object, *, status: int = 200, pretty: bool = True) -> Response:
    option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE if pretty else 0
    return Response(orjson.dumps(content, option=option), status, media_type="application/json")


def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.ApiError)
    return _json(error.body(), status=error.code)


def _answer_nobody(request: Request, error: Exception) -> Response:
    return Response(status_code=499)


def _answer_routing_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == 400:
        return _answer_error(request, errors.invalid_argument(error.detail))
    if error.status_code == 405:
        return _answer_error(request, errors.method_not_allowed(request.method, path))
    return _answer_error(request, errors.url_not_found(path))


def _answer_internal_error(request: Request, error: Exception) -> Response:
    return _answer_error(request, errors.internal(error))
