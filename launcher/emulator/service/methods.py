"""The methods of the Dataflow API that the local Dataflow implements, one function each.

Calls arrive checked against the discovery document, which also shapes their answers. The table of
methods is in ``operations``.
https://cloud.google.com/dataflow/docs/reference/rest
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from launcher.emulator.runtime.events import Importance
from launcher.emulator.runtime.job_runner import JobRunner
from launcher.emulator.runtime.launch import Launch
from launcher.emulator.runtime.states import IllegalTransitionError, JobState
from launcher.emulator.service import errors, shortage
from launcher.emulator.service.cancellations import Cancellations
from launcher.emulator.service.discovery import Method
from launcher.emulator.service.faults import JOB_FAULTS, FaultKind, FaultQueue
from launcher.emulator.service.job_records import (
    LAUNCH,
    ActiveNameError,
    JobFilter,
    JobRecord,
    PageTokenError,
    TimeRange,
    UnknownJobError,
    parse_time,
)
from launcher.emulator.service.job_store import JobStore
from launcher.emulator.service.job_views import (
    render_created,
    render_job,
    render_launched,
    render_listed,
)
from launcher.emulator.service.launch_rules import (
    JOB_NAME,
    build_job_document,
    check_labels,
    check_launch,
    find_spec,
)
from launcher.emulator.service.recorder import SERVICE_FIELDS
from launcher.emulator.service.retention import DEFAULT_KEEP_JOBS, Retention
from launcher.emulator.service.schema import Messages
from launcher.emulator.service.usage import service_metrics
from launcher.emulator.storage.errors import Conflict, InvalidRequest
from launcher.emulator.storage.store import ObjectStore

_LOG = logging.getLogger(__name__)

DEFAULT_REGION = "us-central1"
"""The region of methods that name none. UNCONFIRMED: that Dataflow does the same."""

_LARGEST_PAGE = 1000
# The service's answer to a cancel or a drain, whatever the job's type; recorded for a
# cancel. UNCONFIRMED: that a drain gets the same answer.
_UPDATED: Mapping[str, Any] = {"type": "JOB_TYPE_BATCH"}
_TERMINAL_BY_FILTER = {"ACTIVE": False, "TERMINATED": True}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of one method; ``query`` and ``body`` are in the canonical form of the schema."""

    method: Method
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Mapping[str, Any]

    @property
    def project_id(self) -> str:
        return self.path["projectId"]

    @property
    def region(self) -> str:
        return self.path.get("location") or self.query.get("location") or DEFAULT_REGION

    @property
    def job_id(self) -> str:
        return self.path["jobId"]


class Methods:
    """The implemented methods. Thread-safe; calls block only on the disk."""

    def __init__(
        self,
        *,
        jobs: JobStore,
        store: ObjectStore,
        runner: JobRunner,
        messages: Messages,
        faults: FaultQueue,
        retention: Retention | None = None,
        keep_jobs: int = DEFAULT_KEEP_JOBS,
    ) -> None:
        """
        Args:
            retention: deletes finished jobs beyond ``keep_jobs`` when new ones come; None for
            never.
        """
        self._jobs = jobs
        self._store = store
        self._runner = runner
        self._messages = messages
        self._faults = faults
        self._retention = retention
        self._keep_jobs = keep_jobs
        self._cancellations = Cancellations(jobs, runner)
        self._pruning = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prune")

    def close(self) -> None:
        """Wait for the cancellations in progress; no others start."""
        self._pruning.shutdown(wait=True, cancel_futures=True)
        self._cancellations.close()

    def launch_flex_template(self, call: Call) -> Mapping[str, Any]:
        parameter = call.body.get("launchParameter", {})
        spec = find_spec(parameter, self._store, self._messages)
        launch = check_launch(
            parameter,
            spec,
            project_id=call.project_id,
            region=call.region,
            messages=self._messages,
        )
        language = spec["sdkInfo"]["language"]
        if language != "PYTHON":
            raise errors.unimplemented(call.method.id, f"sdkInfo.language {language}")
        if call.body.get("validateOnly"):
            # UNCONFIRMED: how much Dataflow validates; here, all rules of a launch except that its
            # name must be free, which says nothing about the launch.
            return {}
        if self._find_active(call, launch.job_name):
            raise errors.active_job_name(launch.job_name)
        if launch.provided_bucket is not None:
            self._provide_bucket(launch.provided_bucket)
        document = {**build_job_document(launch), LAUNCH: parameter}
        record = self._create(call, launch.job_name, JobState.QUEUED, document)
        if fault := self._faults.take(call.method.id, JOB_FAULTS):
            self._fail_by_shortage(record, launch, fault.kind)
        else:
            self._start(record, lambda: self._runner.launch(record.id, launch))
        return {"job": render_launched(record)}

    def create_job(self, call: Call) -> Mapping[str, Any]:
        job = call.body
        name = job.get("name", "")
        if not JOB_NAME.fullmatch(name):
            raise errors.invalid_job_name()
        check_labels(job.get("labels", {}))
        active = self._find_active(call, name)
        # The request id shows a client whether the active job of that name is from its own earlier
        # try (Beam's apiclient.submit_job_description).
        if active and active.document.get("clientRequestId") and job.get("clientRequestId"):
            return render_created(active)
        document = {key: value for key, value in job.items() if key not in SERVICE_FIELDS}
        record = self._create(call, name, JobState.PENDING, document)
        self._start(record, lambda: self._runner.execute(record.id, job))
        return render_created(record)

    def get_template(self, call: Call) -> Mapping[str, Any]:
        # UNCONFIRMED: what Dataflow answers for the spec of a Flex Template beyond the schema.
        path = call.query.get("gcsPath", "")
        if not path:
            raise errors.invalid_argument("The query parameter gcsPath must name a template.")
        spec = find_spec({"containerSpecGcsPath": path}, self._store, self._messages)
        metadata = spec.get("metadata", {})
        runtime = {"sdkInfo": spec["sdkInfo"], "parameters": metadata.get("parameters", [])}
        return {
            "status": {},
            "templateType": "FLEX",
            "metadata": metadata,
            "runtimeMetadata": runtime,
        }

    def get_job(self, call: Call) -> Mapping[str, Any]:
        record = self._find(call)
        operations = self._jobs.list_operations(record.id)
        return render_job(record, call.query.get("view", "JOB_VIEW_UNKNOWN"), operations)

    def list_jobs(self, call: Call) -> Mapping[str, Any]:
        return self._list(call, region=call.region)

    def aggregate_jobs(self, call: Call) -> Mapping[str, Any]:
        return self._list(call, region=call.query.get("location") or None)

    def update_job(self, call: Call) -> Mapping[str, Any]:
        wanted = call.body.get("requestedState", "JOB_STATE_UNKNOWN")
        if call.query.get("updateMask"):
            if wanted != "JOB_STATE_UNKNOWN":
                raise errors.state_and_mask()
            raise errors.unimplemented(call.method.id, "updateMask")
        record = self._find(call)
        if wanted == JobState.CANCELLED:
            self._cancellations.start(record)
            return _UPDATED
        if wanted in (JobState.DRAINED, JobState.DRAINING):
            if record.state.is_terminal:
                raise errors.job_terminated("drain", record.id, record.state)
            # The spec may be wrong about a job that is still in its launcher: gcloud's build drops
            # "streaming" from the metadata.
            launched = record.state is not JobState.QUEUED
            if launched and record.document.get("type") != "JOB_TYPE_STREAMING":
                raise errors.drain_not_allowed(record.id)
            self._drain(record)
            return _UPDATED
        raise errors.transition_not_allowed(record.id, record.state, wanted)

    def list_job_messages(self, call: Call) -> Mapping[str, Any]:
        record = self._find(call)
        wanted = call.query.get("minimumImportance", "JOB_MESSAGE_IMPORTANCE_UNKNOWN")
        unknown = wanted == "JOB_MESSAGE_IMPORTANCE_UNKNOWN"
        importance = Importance.DEBUG if unknown else Importance(wanted)
        try:
            page, token = self._jobs.list_messages(
                record.id,
                minimum_importance=importance,
                within=_time_range(call, "startTime", "endTime"),
                page_size=_page_size(call),
                page_token=call.query.get("pageToken", ""),
            )
        except PageTokenError as error:
            raise errors.invalid_argument("The page token is invalid.") from error
        messages = [
            {
                "id": f"{message.seq:016x}",
                "time": message.time,
                "messageText": message.text,
                "messageImportance": message.importance,
            }
            for message in page
        ]
        answer = {"jobMessages": messages, "nextPageToken": token}
        if call.query.get("pageToken"):
            return answer
        return answer | {"autoscalingEvents": self._autoscaling_events(record.id)}

    def get_job_metrics(self, call: Call) -> Mapping[str, Any]:
        record = self._find(call)
        time, updates = self._jobs.metrics(record.id)
        now = self._jobs.now()
        usage = service_metrics(
            record.document,
            self._jobs.list_workers(record.id),
            now=datetime.fromisoformat(now).timestamp(),
            now_text=now,
        )
        since = parse_time(call.query.get("startTime", ""))
        return {
            "metricTime": time or now,
            "metrics": [update for update in [*updates, *usage] if update["updateTime"] >= since],
        }

    def _autoscaling_events(self, job_id: str) -> list[Mapping[str, Any]]:
        return [
            {
                "eventType": "CURRENT_NUM_WORKERS_CHANGED",
                "currentNumWorkers": str(workers.count),
                "description": {"messageText": workers.text},
                "time": workers.time,
                "workerPool": "Regular",
            }
            for workers in self._jobs.list_workers(job_id)
        ]

    def _find(self, call: Call) -> JobRecord:
        try:
            record = self._jobs.get(call.job_id)
        except UnknownJobError as error:
            raise errors.job_not_found(call.job_id) from error
        if (record.project_id, record.region) != (call.project_id, call.region):
            raise errors.job_not_found(call.job_id)
        return record

    def _find_active(self, call: Call, name: str) -> JobRecord | None:
        return self._jobs.find_active(project_id=call.project_id, region=call.region, name=name)

    def _list(self, call: Call, *, region: str | None) -> Mapping[str, Any]:
        wanted = JobFilter(
            project_id=call.project_id,
            region=region,
            name=call.query.get("name") or None,
            terminal=_TERMINAL_BY_FILTER.get(call.query.get("filter", "")),
            by_id=call.query.get("filter", "UNKNOWN") == "UNKNOWN",
            created=_time_range(call, "createTimeRange.startTime", "createTimeRange.endTime"),
            terminated=_time_range(
                call, "terminationTimeRange.startTime", "terminationTimeRange.endTime"
            ),
        )
        try:
            page, token = self._jobs.list_jobs(
                wanted, page_size=_page_size(call), page_token=call.query.get("pageToken", "")
            )
        except PageTokenError as error:
            raise errors.invalid_argument("The page token is invalid.") from error
        return {"jobs": [render_listed(record) for record in page], "nextPageToken": token}

    def _create(
        self, call: Call, name: str, state: JobState, document: Mapping[str, Any]
    ) -> JobRecord:
        try:
            record = self._jobs.create(
                project_id=call.project_id,
                region=call.region,
                name=name,
                state=state,
                document=document,
            )
        except ActiveNameError as error:
            raise errors.active_job_name(name) from error
        if self._retention is not None:
            self._pruning.submit(self._retention.prune, self._keep_jobs)
        return record

    def _start(self, record: JobRecord, start: Callable[[], None]) -> None:
        try:
            start()
        except Exception as error:
            # After any error, because a job that nothing runs must not look as if it were waiting.
            self._jobs.transition(record.id, JobState.FAILED)
            self._jobs.add_message(record.id, Importance.ERROR, f"The job did not start: {error}")
            raise

    def _fail_by_shortage(self, record: JobRecord, launch: Launch, kind: FaultKind) -> None:
        # The job is RUNNING when its workers cannot be started; on Dataflow that is about a minute
        # later.
        self._jobs.update_document(
            record.id, {"type": "JOB_TYPE_STREAMING" if launch.streaming else "JOB_TYPE_BATCH"}
        )
        self._jobs.transition(record.id, JobState.PENDING)
        for importance, text in shortage.messages(
            kind is FaultKind.NO_QUOTA,
            launch.runtime_environment,
            project_id=record.project_id,
            region=record.region,
            job_name=record.name,
        ):
            if text is None:
                self._jobs.transition(record.id, JobState.RUNNING)
            else:
                self._jobs.add_message(record.id, importance, text)
        self._jobs.transition(record.id, JobState.FAILED)

    def _provide_bucket(self, bucket: str) -> None:
        try:
            self._store.create_bucket(bucket)
        except Conflict:
            _LOG.debug("%s is there already", bucket)
        except InvalidRequest as error:
            raise errors.invalid_argument(
                f"There is no staging location, and gs://{bucket} cannot be one: {error}"
            ) from error

    def _drain(self, record: JobRecord) -> None:
        try:
            self._jobs.transition(record.id, JobState.DRAINING, requested=JobState.DRAINED)
        except IllegalTransitionError as error:
            if error.current is JobState.DRAINING:
                return
            raise errors.transition_not_allowed(
                record.id, error.current, JobState.DRAINED
            ) from error
        self._runner.drain(record.id)


def _page_size(call: Call) -> int:
    return min(call.query.get("pageSize") or _LARGEST_PAGE, _LARGEST_PAGE)


def _time_range(call: Call, start: str, end: str) -> TimeRange:
    return TimeRange(
        start=parse_time(call.query.get(start, "")), end=parse_time(call.query.get(end, ""))
    )
