"""The HTTP side of the local storage server: its routes, and errors in Google's form.

Serves /storage/v1, /upload/storage/v1, /resumable/upload/storage/v1, /download/storage/v1 and
/batch/storage/v1. A method of the official discovery document that is not implemented answers 501
with its id. Requests are not authenticated.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from launcher.emulator.storage.batch import MEDIA_TYPE as BATCH_MEDIA_TYPE
from launcher.emulator.storage.batch import BatchPart, build_batch_body, parse_batch
from launcher.emulator.storage.calls import Call, parse_json
from launcher.emulator.storage.downloads import media_response
from launcher.emulator.storage.errors import (
    InvalidRequest,
    NotFound,
    NotImplementedHere,
    NotModified,
    PayloadTooLarge,
    RangeNotSatisfiable,
    StorageError,
    UploadCancelled,
)
from launcher.emulator.storage.methods import MethodTable
from launcher.emulator.storage.multipart import MultipartParser
from launcher.emulator.storage.operations import OPERATIONS
from launcher.emulator.storage.records import StoredObject
from launcher.emulator.storage.resources import object_resource
from launcher.emulator.storage.resumable import MIN_CHUNK_BYTES, UploadSessions
from launcher.emulator.storage.store import ObjectStore
from launcher.emulator.storage.uploads import (
    UploadPlan,
    build_upload_plan,
    commit_upload,
    drain,
    parse_hashes,
)

_UPLOAD_ROOTS = ("/upload/storage/v1/", "/resumable/upload/storage/v1/")
_ROOTS = ("/storage/v1/", "/download/storage/v1/", *_UPLOAD_ROOTS)
_BATCH_PATHS = ("/batch/storage/v1", "/batch")
_GET = "storage.objects.get"
_INSERT = "storage.objects.insert"
IMPLEMENTED = frozenset({*OPERATIONS, _INSERT})
"""The ids of the implemented methods."""

# Headers that would change the meaning of a request, but that this server does not honour.
_REFUSED_HEADERS = ("if-match", "if-none-match")
_REFUSED_HEADER_PREFIXES = ("x-goog-encryption-", "x-goog-copy-source-encryption-")
_BODY_LIMIT_BYTES = 10 << 20  # of what is not media: resources, batches

Intercept = Callable[[str, Request, Callable[[], Awaitable[Response]]], Awaitable[Response]]


async def _answer_directly(
    method_id: str, request: Request, answer: Callable[[], Awaitable[Response]]
) -> Response:
    return await answer()


def build_storage_app(store: ObjectStore, *, intercept: Intercept = _answer_directly) -> Starlette:
    """Build the ASGI application that serves `store`; the caller closes the store.

    Args:
        intercept: called with a method id, the request and the call's handler, answers the call;
            not for batches.
    """
    return Starlette(
        routes=[
            Route(
                "/{path:path}",
                _StorageService(store, intercept).respond,
                methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            )
        ],
        exception_handlers={
            StorageError: _on_storage_error,
            ClientDisconnect: _on_disconnect,
            HTTPException: _on_http_error,
            Exception: _on_internal_error,
        },
    )


class _StorageService:
    def __init__(self, store: ObjectStore, intercept: Intercept) -> None:
        self._store = store
        self._intercept = intercept
        self._methods = MethodTable()
        self._sessions = UploadSessions(store)

    async def respond(self, request: Request) -> Response:
        for header in request.headers:
            if header in _REFUSED_HEADERS or header.startswith(_REFUSED_HEADER_PREFIXES):
                raise NotImplementedHere(f"Header {header}")
        # The path as it was sent: `%2F` in an object name is not a slash.
        path = request.scope["raw_path"].decode("ascii")
        query = dict(request.query_params)
        base_url = str(request.base_url).rstrip("/")
        if path in _BATCH_PATHS:
            return await self._batch(request, base_url)
        if path.startswith(_UPLOAD_ROOTS) and request.method in ("PUT", "DELETE"):
            upload_id = query.get("upload_id", "")
            return await self._intercept(
                _INSERT, request, lambda: self._continue_upload(request, upload_id, base_url)
            )
        call = self._find_call(request.method, path, query, base_url)
        return await self._intercept(call.method_id, request, lambda: self._answer(request, call))

    async def _answer(self, request: Request, call: Call) -> Response:
        if call.method_id == _INSERT:
            return await self._insert(request, call)
        if call.method_id == _GET and call.query.get("alt") == "media":
            return await self._download(request, call)
        return await run_in_threadpool(self._run, replace(call, body=await _read_body(request)))

    def _find_call(self, verb: str, path: str, query: Mapping[str, str], base_url: str) -> Call:
        root = next((root for root in _ROOTS if path.startswith(root)), None)
        found = self._methods.find(verb, path[len(root) :]) if root else None
        if found is None:
            raise NotFound(f"Not Found: {verb} {path}")
        method, arguments = found
        missing = method.required - query.keys() - arguments.keys()
        if missing:
            raise InvalidRequest(f"Required parameter: {min(missing)}")
        return Call(method_id=method.id, arguments=arguments, query=query, base_url=base_url)

    def _run(self, call: Call) -> Response:
        operation = OPERATIONS.get(call.method_id)
        if operation is None:
            raise NotImplementedHere(call.method_id)
        call.check_parameters(operation.honoured)
        resource = operation.run(self._store, call)
        return Response(status_code=204) if resource is None else JSONResponse(resource)

    async def _download(self, request: Request, call: Call) -> Response:
        call.check_parameters(OPERATIONS[_GET].honoured)
        stored, file = await run_in_threadpool(self._store.open, call.object_ref())
        return media_response(
            stored,
            file,
            request.headers.get("range"),
            request.headers.get("accept-encoding", ""),
        )

    async def _insert(self, request: Request, call: Call) -> Response:
        headers = request.headers
        content_type = headers.get("content-type")
        upload_type = call.query.get("uploadType")
        if upload_type == "resumable":
            resource = parse_json(await _read_body(request))
            plan = build_upload_plan(call, resource, headers.get("x-upload-content-type"), headers)
            return await self._start_upload(call, plan)
        with await run_in_threadpool(self._store.new_blob) as writer:
            if upload_type == "media":
                plan = build_upload_plan(call, {}, content_type, headers)
                await drain(request.stream(), writer.write)
            elif upload_type == "multipart":
                parser = MultipartParser(content_type or "", writer.write)
                await drain(request.stream(), parser.feed)
                parser.finish()
                plan = build_upload_plan(call, parser.resource, parser.media_type, headers)
            else:
                raise NotImplementedHere(f"{_INSERT} with uploadType {upload_type!r}")
            stored = await run_in_threadpool(commit_upload, self._store, writer, plan)
        return _object_response(stored, call.base_url)

    async def _start_upload(self, call: Call, plan: UploadPlan) -> Response:
        session = await run_in_threadpool(self._sessions.start, plan)
        url = f"{call.base_url}/upload/storage/v1/b/{plan.ref.bucket}/o"
        return Response(
            headers={
                "Location": f"{url}?uploadType=resumable&upload_id={session.upload_id}",
                "X-Goog-Upload-Chunk-Granularity": str(MIN_CHUNK_BYTES),
            }
        )

    async def _continue_upload(self, request: Request, upload_id: str, base_url: str) -> Response:
        if request.method == "DELETE":
            await self._sessions.cancel(upload_id)
            raise UploadCancelled
        received = await self._sessions.receive(
            upload_id,
            request.headers.get("content-range"),
            request.stream(),
            parse_hashes(request.headers),
        )
        if isinstance(received, StoredObject):
            return _object_response(received, base_url)
        headers = {"Range": f"bytes=0-{received - 1}"} if received else {}
        return Response(status_code=308, headers=headers)

    async def _batch(self, request: Request, base_url: str) -> Response:
        parts = list(
            parse_batch(request.headers.get("content-type", ""), await _read_body(request))
        )

        def answer(part: BatchPart) -> Response:
            try:
                query = dict(parse_qsl(part.query, keep_blank_values=True))
                call = self._find_call(part.verb, part.path, query, base_url)
                return self._run(replace(call, body=part.body))
            except StorageError as error:
                return _error_response(error)

        def answer_all() -> bytes:
            return build_batch_body((part, answer(part)) for part in parts)

        body = await run_in_threadpool(answer_all)
        return Response(body, media_type=BATCH_MEDIA_TYPE)


async def _read_body(request: Request) -> bytes:
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > _BODY_LIMIT_BYTES:
            raise PayloadTooLarge(f"The request is larger than {_BODY_LIMIT_BYTES} bytes.")
    return bytes(content)


def _object_response(stored: StoredObject, base_url: str) -> Response:
    return JSONResponse(object_resource(stored, base_url))


def _error_response(error: StorageError) -> Response:
    if isinstance(error, NotModified | UploadCancelled):
        return Response(status_code=error.status)
    return JSONResponse(error.body(), status_code=error.status)


async def _on_internal_error(request: Request, error: Exception) -> Response:
    # A full disk, or a bug. Clients try again after a 500.
    text = f"The local Cloud Storage failed on this request: {type(error).__name__}: {error}"
    return await _on_storage_error(request, StorageError(text))


async def _on_disconnect(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # Nobody reads it.


async def _on_http_error(request: Request, error: Exception) -> Response:
    # A body that cannot be decompressed, or an HTTP verb that no method has.
    assert isinstance(error, HTTPException)
    refusal = NotFound if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else InvalidRequest
    return await _on_storage_error(request, refusal(error.detail))


async def _on_storage_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StorageError)
    if isinstance(error, RangeNotSatisfiable):
        headers = {"Content-Range": f"bytes */{error.size}"}
        return PlainTextResponse(str(error), status_code=error.status, headers=headers)
    if request.query_params.get("alt") == "media" and error.status >= 400:
        # The service answers a media request with the message alone.
        return PlainTextResponse(str(error), status_code=error.status)
    return _error_response(error)
