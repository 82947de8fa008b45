"""The pages of jobs: the list, and a job with its graph, charts, messages and parameters."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from launcher.console import graph, job_view, result_pages
from launcher.console.apis import ApiRefusal, Unreachable
from launcher.console.page import Answer, Console, Json, Page, Redirect, Visit
from launcher.jobs.diagnosis import diagnose, find_console_logs
from launcher.jobs.failures import Diagnosis

_PAGE_SIZE = 100
_MOST_SEARCHED = 5000
_MESSAGES = 200
_LARGEST_PIPELINE_BYTES = 64 << 20
_LARGEST_CONSOLE_BYTES = 4 << 20
_IMPORTANCES = ("debug", "detailed", "basic", "warning", "error")
_TABS = ("overview", "messages", "results", "parameters")
_OWN_OPTIONS = frozenset({"beam_plugins", "display_data"})


@dataclass(frozen=True, kw_only=True)
class JobRow:
    """A row of the list."""

    job: Mapping[str, Any]
    figures: job_view.Figures
    seconds: float


def home(console: Console, visit: Visit) -> Answer:
    """Show the jobs, or the templates if there are no jobs."""
    jobs, _ = _list_page(console, visit.project, "", {"pageSize": 1})
    return Redirect("/jobs" if jobs else "/templates")


def list_jobs(console: Console, visit: Visit) -> Answer:
    """Show the jobs of a project, the active ones first."""
    text = visit.query.get("q", "").strip().lower()
    state = visit.query.get("state", "")
    token = visit.query.get("page", "")
    found, next_token = _find_jobs(console, visit.project, text, state, token)
    progress = _read_progress(console, [job["id"] for job in found])
    now = time.time()
    rows = [
        JobRow(
            job=job,
            figures=job_view.read_figures(
                progress.get(job["id"], ()),
                has_ended=job["currentState"] in job_view.TERMINAL,
                now=now,
            ),
            seconds=job_view.read_seconds(job),
        )
        for job in found
    ]
    return Page(
        "job_rows.html" if visit.is_partial else "jobs.html",
        {
            "rows": rows,
            "q": visit.query.get("q", ""),
            "state": state,
            "page": token,
            "next_page": next_token,
            "terminal": job_view.TERMINAL,
        },
        "jobs",
    )


def _find_jobs(
    console: Console, project: str, text: str, state: str, token: str
) -> tuple[list[Mapping[str, Any]], str]:
    """Return a page of jobs and the next page's token; a search reads many pages."""
    searches = bool(text) or (state and state not in ("ACTIVE", "TERMINATED"))
    query = {
        "pageSize": 1000 if searches else _PAGE_SIZE,
        "filter": state if state in ("ACTIVE", "TERMINATED") else "ALL",  # the active ones first
    }
    if not searches:
        return _list_page(console, project, token, query)
    found: list[Mapping[str, Any]] = []
    looked = 0
    while len(found) < _PAGE_SIZE and looked < _MOST_SEARCHED:
        jobs, token = _list_page(console, project, token, query)
        looked += len(jobs)
        found += [
            job
            for job in jobs
            if (text in job["name"].lower() or text in job["id"])
            and (
                state in ("", "ACTIVE", "TERMINATED") or job["currentState"] == f"JOB_STATE_{state}"
            )
        ]
        if not token:
            break
    return found[:_PAGE_SIZE], token


def _list_page(
    console: Console, project: str, token: str, query: Mapping[str, Any]
) -> tuple[list[Mapping[str, Any]], str]:
    if token:
        query = {**query, "pageToken": token}
    path = f"/v1b3/projects/{quote(project, '')}/jobs:aggregated"
    page = console.apis.dataflow("GET", path, **query)
    return page.get("jobs", []), page.get("nextPageToken", "")


def _read_progress(console: Console, ids: Sequence[str]) -> Mapping[str, Sequence[Any]]:
    if not ids:
        return {}
    found: Mapping[str, Sequence[Any]] = console.apis.dataflow(
        "GET", "/emulator/progress", jobId=list(ids)
    )["jobs"]
    return found


def show_job(console: Console, visit: Visit) -> Answer:
    """Show a job, or the part of its page that a tab or a refresh requests."""
    tab = visit.query.get("tab", "overview")
    if tab not in _TABS:
        raise ApiRefusal(404, "There is no such page.")
    job = console.apis.dataflow("GET", visit.job_path, view="JOB_VIEW_ALL")
    samples = _read_history(console, job["id"])
    has_ended = job["currentState"] in job_view.TERMINAL
    now = time.time()
    values: dict[str, Any] = {
        "job": job,
        "tab": tab,
        "tabs": _TABS,
        "has_ended": has_ended,
        "is_streaming": job.get("type") == "JOB_TYPE_STREAMING",
        "seconds": job_view.read_seconds(job),
        "figures": job_view.read_figures(samples, has_ended=has_ended, now=now),
        "diagnosis": None,
        "progress": None,
    }
    if job["currentState"] == "JOB_STATE_FAILED":
        values["diagnosis"] = _diagnose(console, job)
    pipeline = _read_pipeline(console, job)
    if pipeline is not None and not has_ended and not values["is_streaming"]:
        values["progress"] = job_view.find_progress(pipeline.list_spread(), samples)
    match tab:
        case "overview":
            values |= _show_overview(visit, pipeline, samples, now, has_ended=has_ended)
            values["results"] = (
                result_pages.find_results(console, visit, job) if has_ended else None
            )
        case "messages":
            values |= _show_messages(console, visit, job)
        case "results":
            values["results"] = result_pages.find_results(console, visit, job)
        case "parameters":
            values |= _show_parameters(console, job)
    return Page("job_live.html" if visit.is_partial else "job.html", values, "jobs")


def show_history(console: Console, visit: Visit) -> Answer:
    """Return the series of a job's charts."""
    return Json(job_view.build_series(_read_history(console, visit.path["job_id"])))


def cancel(console: Console, visit: Visit) -> Answer:
    """Cancel a job, and show it."""
    return _request_state(console, visit, "JOB_STATE_CANCELLED")


def drain(console: Console, visit: Visit) -> Answer:
    """Drain a streaming job, and show it."""
    return _request_state(console, visit, "JOB_STATE_DRAINED")


def _request_state(console: Console, visit: Visit, state: str) -> Answer:
    console.apis.dataflow("PUT", visit.job_path, body={"requestedState": state})
    suffix = "" if visit.project == console.project else f"?project={quote(visit.project)}"
    return Redirect(visit.url.rpartition("/")[0] + suffix)


def _read_history(console: Console, job_id: str) -> Sequence[Mapping[str, Any]]:
    path = f"/emulator/jobs/{quote(job_id, '')}/history"
    samples: Sequence[Mapping[str, Any]] = console.apis.dataflow("GET", path)["samples"]
    return samples


def _read_options(job: Mapping[str, Any]) -> Mapping[str, Any]:
    environment = job.get("environment", {})
    options: Mapping[str, Any] = environment.get("sdkPipelineOptions", {}).get("options", {})
    return options


def _read_pipeline(console: Console, job: Mapping[str, Any]) -> graph.Pipeline | None:
    """Return the job's pipeline; None if it is not staged yet, or no longer exists."""
    location = str(_read_options(job).get("pipelineUrl", ""))
    if not location:
        return None
    kept: graph.Pipeline | None = console.find_kept(location)
    if kept is None:
        try:
            content = console.apis.read_object(location, limit=_LARGEST_PIPELINE_BYTES)
            kept = console.keep(location, graph.parse_pipeline(content))
        except (ApiRefusal, Unreachable, ValueError):
            return None
    return kept


def _show_overview(
    visit: Visit,
    pipeline: graph.Pipeline | None,
    samples: Sequence[Mapping[str, Any]],
    now: float,
    *,
    has_ended: bool,
) -> dict[str, Any]:
    speeds = {} if has_ended else job_view.find_edge_speeds(samples, now)
    opened = frozenset(filter(None, visit.query.get("open", "").split("\n")))
    elements: Mapping[str, int] = next(
        (s["elements"] for s in reversed(samples) if s.get("elements")), {}
    )
    return {
        "picture": graph.lay_out(pipeline, opened) if pipeline else None,
        "opened": sorted(opened),
        "elements": elements,
        "speeds": speeds,
        "moving": {name for name, speed in speeds.items() if speed},
    }


def _show_messages(console: Console, visit: Visit, job: Mapping[str, Any]) -> dict[str, Any]:
    importance = visit.query.get("importance", "detailed")
    if importance not in _IMPORTANCES:
        importance = "detailed"
    text = visit.query.get("text", "")
    before = visit.query.get("before", "")
    found = console.apis.dataflow(
        "GET",
        f"/emulator/jobs/{quote(job['id'], '')}/messages",
        minimumImportance=f"JOB_MESSAGE_{importance.upper()}",
        text=text,
        before=before or "0",
        limit=_MESSAGES + 1,
    )["messages"]
    return {
        "messages": found[:_MESSAGES],
        "older": found[_MESSAGES - 1]["seq"] if len(found) > _MESSAGES else None,
        "before": before,
        "importance": importance,
        "importances": _IMPORTANCES,
        "text": text,
        "console_logs": _read_console_logs(console, job) if not before else None,
    }


def _read_console_logs(console: Console, job: Mapping[str, Any]) -> Mapping[str, str] | None:
    """Return the path and the text of the launcher's output; None if there is none."""
    texts = _list_texts(console, job, "JOB_MESSAGE_BASIC")
    location = find_console_logs(reversed(texts))
    if location is None:
        return None
    try:
        content = console.apis.read_object(location, limit=_LARGEST_CONSOLE_BYTES)
    except (ApiRefusal, Unreachable):
        return None
    return {"path": location, "text": content.decode(errors="replace")}


def _list_texts(console: Console, job: Mapping[str, Any], importance: str) -> list[str]:
    """Return the job's last messages, at or above an importance, newest first."""
    path = f"/emulator/jobs/{quote(job['id'], '')}/messages"
    found = console.apis.dataflow("GET", path, minimumImportance=importance, limit=1000)
    return [message["messageText"] for message in found["messages"]]


def _diagnose(console: Console, job: Mapping[str, Any]) -> Diagnosis:
    key = ("diagnosis", job["id"], job["currentStateTime"])
    kept: Diagnosis | None = console.find_kept(key)
    if kept is None:
        texts = _list_texts(console, job, "JOB_MESSAGE_WARNING")
        logs = _read_console_logs(console, job)
        found = diagnose(
            list(reversed(texts)),
            console=logs["text"] if logs else "",
            console_logs=logs["path"] if logs else None,
        )
        kept = console.keep(key, found)
    return kept


def _show_parameters(console: Console, job: Mapping[str, Any]) -> dict[str, Any]:
    path = f"/emulator/jobs/{quote(job['id'], '')}/launch"
    launched = console.apis.dataflow("GET", path)["launchParameter"] or {}
    options = {
        name: value
        for name, value in _read_options(job).items()
        if name not in _OWN_OPTIONS and value not in (None, "", [], {})
    }
    environment = {
        name: value
        for name, value in job.get("environment", {}).items()
        if name != "sdkPipelineOptions"
    }
    return {
        "launched": launched,
        "launch_environment": launched.get("environment", {}),
        "environment": environment,
        "pipeline_options": dict(sorted(options.items())),
        "labels": job.get("labels", {}),
    }
