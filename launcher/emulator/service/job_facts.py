"""Facts about jobs beyond Google's API, at paths that it does not have: for the console.

GET /emulator/jobs                      the projects that have jobs
GET /emulator/jobs/JOB_ID/launch        the ``LaunchFlexTemplateParameter`` of its launch
GET /emulator/jobs/JOB_ID/history       samples of counters, CPU and memory over time
GET /emulator/jobs/JOB_ID/messages      the newest first, with a text, before another
GET /emulator/progress?jobId=A&jobId=B  the first sample with counts of each, and its last few
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from launcher.emulator.runtime.events import Importance
from launcher.emulator.service import errors
from launcher.emulator.service.history import JobHistory
from launcher.emulator.service.job_records import LAUNCH, JobRecord, UnknownJobError
from launcher.emulator.service.job_store import JobStore

_MOST_MESSAGES = 1000
_COUNT = re.compile("[0-9]{1,18}")  # SQLite's integers cannot be larger.


def job_facts_routes(jobs: JobStore, history: JobHistory) -> list[Route]:
    """Return the routes."""

    def find(request: Request) -> JobRecord:
        job_id = request.path_params["job_id"]
        try:
            return jobs.get(job_id)
        except UnknownJobError as error:
            raise errors.job_not_found(job_id) from error

    def list_projects(request: Request) -> object:
        return {"projects": jobs.list_projects()}

    def get_launch(request: Request) -> object:
        return {"launchParameter": find(request).document.get(LAUNCH)}

    def get_history(request: Request) -> object:
        return {"samples": history.read(find(request).id)}

    def get_progress(request: Request) -> object:
        ids = request.query_params.getlist("jobId")
        return {"jobs": {job_id: history.read_ends(job_id) for job_id in ids}}

    def list_messages(request: Request) -> object:
        query = request.query_params
        try:
            importance = Importance(query.get("minimumImportance", Importance.DEBUG))
        except ValueError as error:
            raise errors.invalid_argument(str(error)) from error
        before, limit = _count(query, "before", 0), _count(query, "limit", _MOST_MESSAGES)
        found = jobs.search_messages(
            find(request).id,
            minimum_importance=importance,
            text=query.get("text", ""),
            before=before,
            limit=min(limit, _MOST_MESSAGES),
        )
        return {
            "messages": [
                {
                    "seq": message.seq,
                    "time": message.time,
                    "messageText": message.text,
                    "messageImportance": message.importance,
                }
                for message in found
            ]
        }

    return [
        _route("/emulator/jobs", list_projects),
        _route("/emulator/jobs/{job_id}/launch", get_launch),
        _route("/emulator/jobs/{job_id}/history", get_history),
        _route("/emulator/jobs/{job_id}/messages", list_messages),
        _route("/emulator/progress", get_progress),
    ]


def _count(query: QueryParams, name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not _COUNT.fullmatch(text):
        raise errors.invalid_argument(f"{name} {text[:100]!r} must be a whole number, 0 or more.")
    return int(text)


def _route(path: str, read: Callable[[Request], Any]) -> Route:
    async def answer(request: Request) -> Response:
        content = await run_in_threadpool(read, request)
        return Response(orjson.dumps(content), media_type="application/json")

    return Route(path, answer)
