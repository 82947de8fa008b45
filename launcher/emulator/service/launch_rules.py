"""Decide whether a Flex Template launch is accepted: the service's rules, without effects.

A ``LaunchFlexTemplateParameter`` and the ``ContainerSpec`` that it names are the input; the
result is an accepted ``Launch``, or the error with which Dataflow would answer. Where Dataflow's
behaviour could not be confirmed, the comment says UNCONFIRMED, and the choice ensures that a launch
that passes here also passes there.
https://cloud.google.com/dataflow/docs/reference/rest/v1b3/projects.locations.flexTemplates/launch
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from launcher.emulator.labels import find_label_problem
from launcher.emulator.runtime.launch import Launch
from launcher.emulator.service import errors
from launcher.emulator.service.errors import ParameterViolation
from launcher.emulator.service.metadata_server import project_number
from launcher.emulator.service.regexes import BadRegexError, matches_whole
from launcher.emulator.service.schema import Messages
from launcher.emulator.storage.errors import NotFound
from launcher.emulator.storage.store import ObjectStore
from launcher.emulator.strict_json import parse_strictly

DEFAULT_LAUNCH_TIMEOUT_SEC = 120.0
"""Dataflow gives the launcher about ten minutes; most of that is for starting a VM."""

_TIMEOUT_OPTION = "ft_launch_timeout_secs"  # UNCONFIRMED: in use, but not documented.
_DATASET = "bigquery.googleapis.com/cloud_dataflow"
JOB_NAME = re.compile(r"[a-z]([-a-z0-9]{0,1022}[a-z0-9])?")  # Job.name of the document.
_GCS_OBJECT = re.compile(r"gs://(?P<bucket>[^/]+)/(?P<name>.+)")

# Options that a launch may pass in `parameters` although the metadata does not declare them
# (observed), keyed by the environment field with the same meaning.
_ENVIRONMENT_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "autoscalingAlgorithm": ("autoscaling_algorithm", "autoscalingAlgorithm"),
    "enableLauncherVmSerialPortLogging": (
        "enable_launcher_vm_serial_port_logging",
        "enableLauncherVmSerialPortLogging",
    ),
    "enableStreamingEngine": ("enable_streaming_engine", "enableStreamingEngine"),
    "machineType": ("machine_type", "workerMachineType"),
    "maxWorkers": ("max_num_workers", "maxNumWorkers"),
    "numWorkers": ("num_workers", "numWorkers"),
    "sdkContainerImage": ("sdk_container_image", "sdkContainerImage"),
    # Recorded: runtime names are recognized as parameters, and refused if the environment sets them
    # too.
    "serviceAccountEmail": ("serviceAccount", "serviceAccountEmail", "service_account_email"),
    "stagingLocation": ("staging_location", "stagingLocation"),
    "tempLocation": ("temp_location", "tempLocation"),
}
_UNDECLARED_OPTIONS = frozenset(
    {"number_of_worker_harness_threads", "numberOfWorkerHarnessThreads", "sdk_location"}
).union(*_ENVIRONMENT_OPTIONS.values())

HONOURED_FIELDS = (
    *("jobName", "containerSpecGcsPath", "parameters"),
    f"launchOptions.{_TIMEOUT_OPTION}",
    *(f"containerSpec.{name}" for name in ("image", "metadata", "sdkInfo", "defaultEnvironment")),
    "environment",
)
"""The fields of a ``LaunchFlexTemplateParameter`` that have an effect, by paths.

``runtime.launch.NO_FLAG`` says which fields of the environment have none.
"""


def find_spec(
    parameter: Mapping[str, Any], store: ObjectStore, messages: Messages
) -> Mapping[str, Any]:
    """Return the ``ContainerSpec`` in a launch, or at its path, in canonical form.

    Raises:
        ApiError: it is missing or unreadable.
    """
    path = parameter.get("containerSpecGcsPath", "")
    inline = parameter.get("containerSpec")
    if bool(path) == (inline is not None):
        # UNCONFIRMED: the schema implies that exactly one is required; the words are ours.
        raise errors.invalid_argument(
            "Exactly one of launchParameter.containerSpecGcsPath and "
            f"launchParameter.containerSpec must be set; {'both are' if path else 'neither is'}."
        )
    if inline is None:
        spec = _read_spec(path, store, messages)
    else:
        spec, path = inline, "launchParameter.containerSpec"
    if spec.get("sdkInfo", {}).get("language", "UNKNOWN") == "UNKNOWN":
        raise errors.sdk_language_missing()
    if not spec.get("image"):
        raise errors.template_file_malformed(path, "Its field image names no container image.")
    return spec


def _read_spec(path: str, store: ObjectStore, messages: Messages) -> Mapping[str, Any]:
    location = _GCS_OBJECT.fullmatch(path)
    if location is None:
        raise errors.template_file_malformed(
            path, "The path must name an object in Cloud Storage: gs://BUCKET/OBJECT."
        )
    try:
        content = store.read(location["bucket"], location["name"])
    except NotFound as error:
        raise errors.template_file_unreadable(path) from error
    try:
        # UNCONFIRMED: that unknown fields are ignored (samples carry `_comment`), and that
        # snake_case names, which old specs have, are read.
        return messages.parse("ContainerSpec", parse_strictly(content), ignore_unknown=True)
    except ValueError as error:
        raise errors.template_file_malformed(path, f"It is not JSON: {error}.") from error
    except errors.ApiError as error:
        raise errors.template_file_malformed(path, error.message) from error


def check_launch(
    parameter: Mapping[str, Any],
    spec: Mapping[str, Any],
    *,
    project_id: str,
    region: str,
    messages: Messages,
) -> Launch:
    """Return the accepted launch.

    Raises:
        ApiError: a rule refuses it; violations of parameters are reported all at once, up to a
            limit.
    """
    job_name = parameter.get("jobName", "")
    if not JOB_NAME.fullmatch(job_name):
        raise errors.invalid_job_name()
    parameters: Mapping[str, str] = parameter.get("parameters", {})
    requested = _set_fields(parameter, "environment", messages)
    violations = list(
        itertools.islice(
            itertools.chain(
                _check_parameters(parameters, spec.get("metadata")),
                _check_duplicates(parameters, requested),
            ),
            errors.MOST_VIOLATIONS,
        )
    )
    if violations:
        raise errors.invalid_template_parameters(violations)
    # UNCONFIRMED: lists and maps of the request replace those of the spec instead of being merged.
    environment = _set_fields(spec, "defaultEnvironment", messages) | requested
    _check_environment(environment)

    staging = _location("stagingLocation", environment, parameters)
    temp = _location("tempLocation", environment, parameters)
    bucket = None
    if not staging and not temp:
        bucket = f"dataflow-staging-{region}-{project_number(project_id)}"
        staging, temp = f"gs://{bucket}/staging", f"gs://{bucket}/temp"
    return Launch(
        job_name=job_name,
        project_id=project_id,
        region=region,
        image=spec["image"],
        parameters=parameters,
        runtime_environment=environment,
        staging_location=staging or temp,
        temp_location=temp or staging,
        provided_bucket=bucket,
        launch_timeout_sec=_launch_timeout_sec(parameter.get("launchOptions", {})),
        streaming=spec.get("metadata", {}).get("streaming", False),
    )


def build_job_document(launch: Launch) -> dict[str, Any]:
    """Return the ``Job`` that is shown before the template has made its job object.

    Recorded: it has no type yet, and its environment has only the dataset.
    """
    return {
        "labels": launch.runtime_environment.get("additionalUserLabels", {}),
        "environment": {"dataset": _DATASET},
        "pipelineDescription": {},
    }


def _set_fields(holder: Mapping[str, Any], name: str, messages: Messages) -> dict[str, Any]:
    """Return an environment without fields at their default, which proto3 takes as not set.

    gcloud sends ``enableStreamingEngine: false`` with every launch.
    """
    return messages.render("FlexTemplateRuntimeEnvironment", holder.get(name, {}))


def _check_parameters(
    parameters: Mapping[str, str], metadata: Mapping[str, Any] | None
) -> Iterator[ParameterViolation]:
    if metadata is None:
        return  # UNCONFIRMED: a spec without metadata takes any parameter.
    declared = {item.get("name", ""): item for item in metadata.get("parameters", [])}
    for name, item in declared.items():
        # UNCONFIRMED: that a default does not replace a missing value, and that a parameter is
        # required even if its parent does not trigger it.
        if name not in parameters and not item.get("isOptional", False):
            yield ParameterViolation(name, "Missing required parameter")
    for name in parameters:
        if name not in declared and name not in _UNDECLARED_OPTIONS:
            yield ParameterViolation(name, "Unrecognized parameter")
    for name, value in parameters.items():
        for regex in declared.get(name, {}).get("regexes", []):
            # UNCONFIRMED: whether the whole value must match. Values against paramType and
            # enumOptions are not checked: no such error was ever seen.
            if not _matches(regex, value, name):
                yield ParameterViolation(name, f"Parameter didn't match regex '{regex}'")


def _matches(regex: str, value: str, name: str) -> bool:
    try:
        return matches_whole(regex, value)
    except BadRegexError as error:
        raise errors.invalid_argument(
            f"The metadata of the template is invalid. Parameter {name}: regex '{regex}' cannot "
            f"be read: {error}."
        ) from error


def _check_duplicates(
    parameters: Mapping[str, str], environment: Mapping[str, Any]
) -> Iterator[ParameterViolation]:
    for field, names in _ENVIRONMENT_OPTIONS.items():
        for name in names:
            if field in environment and name in parameters:
                yield ParameterViolation(
                    name,
                    f"Runtime parameter {name} should not be specified in both parameters field "
                    "and environment field. Specifying runtime parameters in environment field "
                    "is recommended.",
                )


def check_labels(labels: Mapping[str, str]) -> None:
    """Check the labels of a job.

    Raises:
        ApiError: they break the rules of the discovery document.
    """
    problem = find_label_problem(labels)
    if problem:
        raise errors.invalid_argument(problem)


def _check_environment(environment: Mapping[str, Any]) -> None:
    # The rules are the document's; the words are ours.
    check_labels(environment.get("additionalUserLabels", {}))
    for field in ("stagingLocation", "tempLocation"):
        if field in environment and not environment[field].startswith("gs://"):
            raise errors.invalid_argument(
                f"environment.{field} {environment[field]!r} must be a Cloud Storage URL, "
                "beginning with gs://."
            )
    if "workerRegion" in environment and "workerZone" in environment:
        raise errors.invalid_argument(
            "environment.workerRegion and environment.workerZone are mutually exclusive."
        )


def _location(field: str, environment: Mapping[str, Any], parameters: Mapping[str, str]) -> str:
    """Return a given location without its trailing slash, or ""."""
    given = [environment.get(field)] + [
        parameters.get(name) for name in _ENVIRONMENT_OPTIONS[field]
    ]
    return next((location for location in given if location), "").rstrip("/")


def _launch_timeout_sec(options: Mapping[str, str]) -> float:
    text = options.get(_TIMEOUT_OPTION)
    if text is None:
        return DEFAULT_LAUNCH_TIMEOUT_SEC
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text):
        raise errors.invalid_argument(
            f"launchOptions.{_TIMEOUT_OPTION} {text!r} must be a whole number of seconds, "
            "1 or more."
        )
    return float(text)
