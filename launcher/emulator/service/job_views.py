"""The content of each view of a job, as in recorded answers of the service.

A job whose launcher is still running has no type, no SDK and no steps; only JOB_VIEW_ALL has
the whole environment. https://cloud.google.com/dataflow/docs/reference/rest/v1b3/JobView
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from launcher.emulator.runtime.staging import pipeline_options, worker_zone
from launcher.emulator.runtime.states import JobState
from launcher.emulator.service.job_records import LAUNCH, JobRecord, Message

ALL = "JOB_VIEW_ALL"
_DESCRIBED = (ALL, "JOB_VIEW_DESCRIPTION")
_ONLY_IN_ALL = ("steps", "stepsLocation", "tempFiles", "clientRequestId")
_ENVIRONMENT_IN_SUMMARY = ("userAgent", "version", "shuffleMode", "usePublicIps")
_IN_LIST = (
    *("id", "projectId", "name", "type", "currentState", "currentStateTime", "createTime"),
    *("location", "jobMetadata", "startTime"),
)
_SUPPORT = {"status": "SUPPORTED", "url": "https://github.com/apache/beam/releases"}
_EPOCH = "1970-01-01T00:00:00Z"
EXECUTING, FINISHED = "Executing operation ", "Finished operation "


def render_job(record: JobRecord, view: str, operations: Sequence[Message] = ()) -> dict[str, Any]:
    """Return the ``Job`` message of a view.

    Args:
        view: a ``JobView``; any other than ALL and DESCRIPTION is a summary.
        operations: the job's messages of operations that began and finished.
    """
    hidden = {
        LAUNCH,
        *(() if view in _DESCRIBED else ("pipelineDescription",)),
        *(() if view == ALL else _ONLY_IN_ALL),
    }
    job = {name: value for name, value in record.document.items() if name not in hidden}
    environment = _describe_environment(job)
    if view != ALL:
        environment = {
            name: value for name, value in environment.items() if name in _ENVIRONMENT_IN_SUMMARY
        }
    agent = environment.get("userAgent", {})
    if "version" in agent:
        version = {
            "version": agent["version"],
            "versionDisplayName": agent.get("name", ""),
            "sdkSupportStatus": "SUPPORTED",
        }
        job["jobMetadata"] = {"sdkVersion": version}
    if job.get("type") == "JOB_TYPE_STREAMING":
        job["runtimeUpdatableParams"] = _updatable(record.document)
        job["satisfiesPzi"] = False
        job["serviceResources"] = {"zones": [worker_zone(record.document)]}
    if stages := _stage_states(record, operations):
        job["stageStates"] = stages
    if environment:
        job["environment"] = environment
    return (
        job
        | _identity(record)
        | {
            "currentState": record.state.value,
            "currentStateTime": record.state_time,
        }
    )


def render_listed(record: JobRecord) -> dict[str, Any]:
    """Return a job for a list: without labels and environment."""
    job = render_job(record, "JOB_VIEW_SUMMARY")
    return {name: job[name] for name in _IN_LIST if name in job}


def render_launched(record: JobRecord) -> dict[str, Any]:
    """Return a job for the answer to its launch: without a state, whose time is the epoch."""
    return _identity(record) | {"currentStateTime": _EPOCH}


def render_created(record: JobRecord) -> dict[str, Any]:
    """Return a job for the answer to ``jobs.create``: the same, with type and request id."""
    own = {
        name: record.document[name]
        for name in ("type", "clientRequestId")
        if name in record.document
    }
    return own | render_launched(record)


def _identity(record: JobRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "projectId": record.project_id,
        "location": record.region,
        "name": record.name,
        "createTime": record.create_time,
        "startTime": record.create_time,
    }


def _describe_environment(job: dict[str, Any]) -> Mapping[str, Any]:
    """Remove the environment from a job, and add what the service adds to a staged job's."""
    environment: Mapping[str, Any] = job.pop("environment", {})
    agent = environment.get("userAgent")
    if not agent:
        return environment
    pools = environment.get("workerPools", [])
    return {
        **environment,
        "userAgent": {**agent, "support": _SUPPORT},
        # Recorded only for a batch job.
        **({"shuffleMode": "SERVICE_BASED"} if job.get("type") == "JOB_TYPE_BATCH" else {}),
        "usePublicIps": any(pool.get("ipConfiguration") != "WORKER_IP_PRIVATE" for pool in pools),
    }


def _updatable(job: Mapping[str, Any]) -> dict[str, Any]:
    options = pipeline_options(job)
    most = options.get("max_num_workers") or options.get("num_workers") or 1
    return {"minNumWorkers": 1, "maxNumWorkers": int(most), "workerUtilizationHint": 0.8}


def _stage_states(record: JobRecord, operations: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the stages that have begun, between the service's own steps.

    Names have Dataflow's form; the numbers are ours.
    """
    if not operations:
        return []
    begun: dict[str, tuple[str, str]] = {}
    for message in operations:
        name = message.text.removeprefix(EXECUTING).removeprefix(FINISHED)
        state = "RUNNING" if message.text.startswith(EXECUTING) else "DONE"
        begun[name] = (state, message.time)
    ended = record.state in (JobState.DONE, JobState.DRAINED)
    first, last = operations[0].time, record.state_time
    stages = [
        ("success1", "DONE" if ended else "PENDING", last if ended else first),
        # It stays that way in a finished job.
        ("failure2", "DONE" if record.state is JobState.FAILED else "PENDING", first),
        ("start3", "DONE", first),
        *((f"F{number}", state, time) for number, (state, time) in enumerate(begun.values(), 4)),
    ]
    return [
        {
            "executionStageName": name,
            "executionStageState": f"JOB_STATE_{state}",
            "currentStateTime": f"{time[:-4]}Z",  # milliseconds
        }
        for name, state, time in stages
    ]
