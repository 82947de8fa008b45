"""The implemented methods of the Dataflow API, and the parts of a request that each honours.

One table answers calls and yields the coverage in the README. Everything else answers 501, or has
no effect.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from launcher.emulator.service import errors
from launcher.emulator.service.launch_rules import HONOURED_FIELDS
from launcher.emulator.service.methods import Call, Methods

# Ids and numbers of projects, including the old kind with a domain, and names of regions.
_PROJECT = re.compile(r"([a-z0-9][a-z0-9.-]{0,62}:)?[a-z0-9][a-z0-9-]{0,62}")
_REGION = re.compile(r"[a-z][a-z0-9-]{0,62}")


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An implemented method.

    Attributes:
        answer: executes the method.
        query: the query parameters that it honours; the others are accepted without effect.
        body: likewise the fields of the body, by their paths; None if it honours all.
        refused: parameters and fields that answer 501 if they are set; the method itself refuses
            those that are among ``query``.
    """

    answer: Callable[[Methods, Call], Mapping[str, Any]]
    query: frozenset[str] = frozenset()
    body: frozenset[str] | None = None
    refused: frozenset[str] = frozenset()


_PAGE = frozenset({"pageSize", "pageToken"})
_LIST = _PAGE | {
    *("filter", "name"),
    *("createTimeRange.startTime", "createTimeRange.endTime"),
    *("terminationTimeRange.startTime", "terminationTimeRange.endTime"),
}
_WITH_AND_WITHOUT_REGION: Mapping[str, Operation] = {
    "jobs.create": Operation(answer=Methods.create_job, refused=frozenset({"replaceJobId"})),
    "jobs.get": Operation(answer=Methods.get_job, query=frozenset({"view"})),
    "jobs.getMetrics": Operation(answer=Methods.get_job_metrics, query=frozenset({"startTime"})),
    "jobs.list": Operation(answer=Methods.list_jobs, query=_LIST),
    "jobs.messages.list": Operation(
        answer=Methods.list_job_messages,
        query=_PAGE | {"minimumImportance", "startTime", "endTime"},
    ),
    "jobs.update": Operation(
        answer=Methods.update_job,
        query=frozenset({"updateMask"}),
        body=frozenset({"requestedState"}),
        refused=frozenset({"updateMask"}),
    ),
    "templates.get": Operation(answer=Methods.get_template, query=frozenset({"gcsPath"})),
}
OPERATIONS: Mapping[str, Operation] = {
    "dataflow.projects.jobs.aggregated": Operation(
        # The discovery document does not mention a filter by name.
        answer=Methods.aggregate_jobs,
        query=_LIST - {"name"} | {"location"},
    ),
    "dataflow.projects.locations.flexTemplates.launch": Operation(
        answer=Methods.launch_flex_template,
        body=frozenset({"validateOnly", *(f"launchParameter.{name}" for name in HONOURED_FIELDS)}),
        refused=frozenset({"launchParameter.update"}),
    ),
    **{
        f"dataflow.projects.{name}": dataclasses.replace(
            operation, query=operation.query | {"location"}
        )
        for name, operation in _WITH_AND_WITHOUT_REGION.items()
    },
    **{
        f"dataflow.projects.locations.{name}": operation
        for name, operation in _WITH_AND_WITHOUT_REGION.items()
    },
}
"""The implemented methods by their ids."""


def answer_call(methods: Methods, call: Call) -> Mapping[str, Any]:
    """Answer a call; every call passes here.

    Raises:
        ApiError: any answer other than success; 501 where the method, or what the call requests of
            it, is not implemented.
    """
    operation = OPERATIONS.get(call.method.id)
    if operation is None:
        raise errors.unimplemented(call.method.id)
    _check_place(call)
    for name in sorted(operation.refused - operation.query):
        if _find(call, name):
            raise errors.unimplemented(call.method.id, name)
    # Keeps fields outside the table from having an accidental effect.
    honoured = operation.query & call.query.keys()
    query = {name: call.query[name] for name in honoured}
    return operation.answer(methods, dataclasses.replace(call, query=query))


def _check_place(call: Call) -> None:
    # The rules are Google Cloud's; the words are ours.
    for name, value, rule in (
        ("projectId", call.project_id, _PROJECT),
        ("location", call.region, _REGION),
    ):
        if not rule.fullmatch(value):
            raise errors.invalid_argument(f"{name} {value[:100]!r} is not valid.")


def _find(call: Call, path: str) -> object:
    """Return a query parameter, or a field of the body by its path; falsy if it is not set."""
    if path in call.query:
        return call.query[path]
    value: Any = call.body
    for name in path.split("."):
        value = value.get(name, {})
    return value
