"""The Dataflow REST client, on google-api-python-client with its bundled discovery document.

Reads are retried for some seconds. A launch is never blindly repeated: if its answer is lost, the
client checks whether the job exists before it tries again.
https://cloud.google.com/dataflow/docs/reference/rest
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

import requests
from googleapiclient import discovery
from googleapiclient.http import HttpRequest

from launcher.errors import ApiError, FormatError, LaunchUncertain, ServiceError, Unreachable
from launcher.google.calls import execute
from launcher.google.rest import format_time, from_rest, to_rest
from launcher.google.transport import OneAttemptHttp, find_endpoint, open_session
from launcher.jobs.records import Job, JobMessage, JobState, MessageImportance, Metric
from launcher.launch.request import LAUNCH_ID_LABEL, LaunchFlexTemplateRequest

_READ_DELAYS_SEC = (0.5, 1.0)
_LAUNCH_DELAYS_SEC = (1.0, 2.0, 4.0)  # one after each attempt
_CANCEL_DELAYS_SEC = (1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class HttpCall:
    """A request as it would be sent."""

    method: str
    url: str
    body: Mapping[str, Any]


class Dataflow:
    """Dataflow in one project and region.

    Every method blocks for at most a few times ``timeout_sec``, and raises ``ServiceError`` if the
    service refuses or does not answer. Connects at the first call. Not thread-safe.

    Args:
        endpoint: default the variable CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW, else Google's.
        timeout_sec: longest wait for one answer.
        session: sends the requests; by default one with Google's default credentials, or without
        any if the endpoint is not Google's.
    """

    def __init__(
        self,
        project: str,
        region: str,
        *,
        endpoint: str | None = None,
        timeout_sec: float = 60.0,
        session: requests.Session | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.project = project
        self.region = region
        self.endpoint = endpoint or find_endpoint()
        self._timeout_sec = timeout_sec
        self._session = session
        self._sleep = sleep
        self._http: OneAttemptHttp | None = None
        service = discovery.build(
            "dataflow",
            "v1b3",
            # It sends nothing, so building a request needs no credentials.
            http=OneAttemptHttp(requests.Session(), timeout_sec=timeout_sec),
            static_discovery=True,
            client_options={"api_endpoint": self.endpoint},
        )
        locations = service.projects().locations()
        self._jobs = locations.jobs()
        self._flex_templates = locations.flexTemplates()

    def dry_run(self, request: LaunchFlexTemplateRequest) -> HttpCall:
        """Return the request that ``launch`` would send; sends nothing, needs no credentials."""
        call = self._launch_call(request)
        return HttpCall(method=call.method, url=call.uri, body=json.loads(call.body))

    def launch(self, request: LaunchFlexTemplateRequest) -> Job:
        """Launch a job and return it, usually still without a state.

        A refused launch (4xx) is not repeated, except when the service is busy (429). After an
        ambiguous failure (no answer, an answer without a job, 5xx) the client looks for the job,
        by its name and launch id, before each of a few more attempts. A launch that is refused
        because its name is taken by a job with the same launch id returns that job.

        Raises:
            ApiError: the service refused (4xx), and no job was created; or it failed (5xx) at
                every attempt, and no job of this launch was there when the client last looked.
            Unreachable: likewise, because there was no answer.
            LaunchUncertain: it is unknown whether the job was created.
        """
        parameter = request.launch_parameter
        name = parameter.job_name
        launch_id = parameter.environment.additional_user_labels.get(LAUNCH_ID_LABEL)
        action = f"launching {name!r}"
        earlier = self._find_earlier(name)
        call = self._launch_call(request)
        failure: ServiceError
        for delay_sec in _LAUNCH_DELAYS_SEC:
            try:
                return from_rest(Job, self._send(action, call).get("job"), where="job")
            except FormatError as error:
                failure = Unreachable(f"{action}: the answer does not name the job ({error})")
            except ServiceError as error:
                failure = error
            if not failure.is_transient and not _has_status(failure, HTTPStatus.CONFLICT):
                raise failure
            if failure.is_transient:
                self._sleep(delay_sec)
            if _has_status(failure, HTTPStatus.TOO_MANY_REQUESTS):
                continue  # nothing was done
            try:
                job = self._find_launched(name, launch_id, earlier)
            except ServiceError as error:
                raise LaunchUncertain(
                    f"{failure}\nIt is unknown whether the job was created: {error}\n"
                    f"Look for {name!r} with 'flexpack jobs list' before you launch again"
                ) from failure
            if job:
                return job
            if not failure.is_transient:
                raise failure
        raise failure

    def get(self, job_id: str, *, view: str = "JOB_VIEW_DESCRIPTION") -> Job:
        """Return a job with its labels; with JOB_VIEW_ALL also its environment."""
        call = self._jobs.get(**self._place, jobId=job_id, view=view)
        return from_rest(Job, self._read(f"reading job {job_id}", call))

    def list(
        self, *, status: str = "ALL", name: str | None = None, limit: int | None = None
    ) -> tuple[Job, ...]:
        """Return jobs, usually newest first, without their labels.

        Args:
            status: ``ALL``, ``ACTIVE`` or ``TERMINATED``.
            name: only jobs of exactly this name.
            limit: the largest number of jobs.
        """
        call = self._jobs.list(**self._place, filter=status, name=name)
        jobs: list[Job] = []
        for page in self._pages("listing jobs", call, self._jobs.list_next):
            listed = (from_rest(Job, item, where="job") for item in page.get("jobs", ()))
            jobs.extend(job for job in listed if name is None or job.name == name)
            if limit is not None and len(jobs) >= limit:
                break
        return tuple(jobs[:limit])

    def messages(
        self,
        job_id: str,
        *,
        minimum_importance: MessageImportance = MessageImportance.BASIC,
        start_time: datetime | None = None,
    ) -> tuple[JobMessage, ...]:
        """Return a job's messages, oldest first.

        Args:
            start_time: only messages at or after this time.
        """
        collection = self._jobs.messages()
        call = collection.list(
            **self._place,
            jobId=job_id,
            minimumImportance=minimum_importance.value,
            startTime=format_time(start_time) if start_time else None,
        )
        return tuple(
            from_rest(JobMessage, item, where="jobMessage")
            for page in self._pages(f"messages of job {job_id}", call, collection.list_next)
            for item in page.get("jobMessages", ())
        )

    def metrics(self, job_id: str) -> tuple[Metric, ...]:
        """Return a job's current metrics, the service's and the pipeline's own."""
        call = self._jobs.getMetrics(**self._place, jobId=job_id)
        answer = self._read(f"metrics of job {job_id}", call)
        return tuple(from_rest(Metric, item, where="metric") for item in answer.get("metrics", ()))

    def cancel(self, job_id: str, *, force: bool = False) -> None:
        """Ask a job to stop at once; it stops a little later.

        The service answers with the job's type and nothing else. May be repeated. Retries while
        the service is not yet ready to cancel a young job.

        Args:
            force: abandon resources that do not stop; allowed 30 minutes after a normal cancel.
        """
        body: dict[str, Any] = {"requestedState": JobState.CANCELLED.value}
        if force:
            body["labels"] = {"force_cancel_job": "true"}
        call = self._jobs.update(**self._place, jobId=job_id, body=body)
        action = f"cancelling job {job_id}"
        for delay_sec in _CANCEL_DELAYS_SEC:
            try:
                self._read(action, call)
            except ApiError as error:
                if "not yet ready for cancel" not in error.service_message:
                    raise
            else:
                return
            self._sleep(delay_sec)
        self._read(action, call)

    def drain(self, job_id: str) -> None:
        """Ask a streaming job to finish what it has read and stop. May be repeated."""
        body = {"requestedState": JobState.DRAINED.value}
        call = self._jobs.update(**self._place, jobId=job_id, body=body)
        self._read(f"draining job {job_id}", call)

    @property
    def _place(self) -> dict[str, str]:
        return {"projectId": self.project, "location": self.region}

    def _launch_call(self, request: LaunchFlexTemplateRequest) -> HttpRequest:
        return self._flex_templates.launch(**self._place, body=to_rest(request))

    def _find_earlier(self, name: str) -> frozenset[str]:
        """Return the jobs that already have the name; none if the caller may only launch jobs.

        Such a caller cannot look up a launch whose answer was lost.
        """
        try:
            return frozenset(job.id for job in self.list(name=name))
        except ApiError as error:
            if _has_status(error, HTTPStatus.FORBIDDEN):
                return frozenset()
            raise

    def _find_launched(
        self, name: str, launch_id: str | None, earlier: frozenset[str]
    ) -> Job | None:
        """Return the job that a launch may have created although its answer was lost.

        It carries the launch id; if the service shows no labels yet, it is the job of that name
        that was not there before.
        """
        for listed in self.list(name=name):
            if listed.id in earlier and listed.current_state.is_terminal:
                continue
            job = self.get(listed.id)
            label = job.labels.get(LAUNCH_ID_LABEL)
            if label == launch_id if label else job.id not in earlier:
                return job
        return None

    def _pages(
        self,
        action: str,
        call: HttpRequest | None,
        next_call: Callable[[HttpRequest, Any], HttpRequest | None],
    ) -> Iterator[dict[str, Any]]:
        while call is not None:
            page = self._read(action, call)
            yield page
            call = next_call(call, page)

    def _read(self, action: str, call: HttpRequest) -> dict[str, Any]:
        """Send a request that may be repeated, and retry transient errors."""
        for delay_sec in _READ_DELAYS_SEC:
            try:
                return self._send(action, call)
            except ServiceError as error:
                if not error.is_transient:
                    raise
            self._sleep(delay_sec)
        return self._send(action, call)

    def _send(self, action: str, call: HttpRequest) -> dict[str, Any]:
        """Send a request once."""
        if self._http is None:
            session = self._session or open_session(self.endpoint)
            self._http = OneAttemptHttp(session, timeout_sec=self._timeout_sec)
        return execute(call, self._http, action=action, service="Dataflow", endpoint=self.endpoint)


def _has_status(failure: ServiceError, status: HTTPStatus) -> bool:
    return isinstance(failure, ApiError) and failure.status_code == status
