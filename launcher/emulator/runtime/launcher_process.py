"""The launcher of a Flex Template: what Google's ``python_template_launcher`` does on its VM.

Runs the image's entry file with the launch's parameters and environment as flags, keeps its console
output, and returns the Job that the program staged instead of creating it.
https://cloud.google.com/dataflow/docs/guides/templates/configuring-flex-templates

UNCONFIRMED, because the launcher's source is not public: that FLEX_TEMPLATE_PYTHON_PY_OPTIONS are
options of the interpreter, the spelling of flags that stand for lists, and the content of
``operation_result``.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from launcher.emulator.runtime.images import PY_FILE, Image
from launcher.emulator.runtime.processes import Child, Children
from launcher.emulator.runtime.staging import pipeline_options, split_gs_url
from launcher.emulator.storage import NotFound, ObjectStore

_PY_OPTIONS = "FLEX_TEMPLATE_PYTHON_PY_OPTIONS"
_STAGING_FLAGS: Mapping[str, str] = {
    "FLEX_TEMPLATE_PYTHON_REQUIREMENTS_FILE": "requirements_file",
    "FLEX_TEMPLATE_PYTHON_SETUP_FILE": "setup_file",
}
_EXTRA_PACKAGES = "FLEX_TEMPLATE_PYTHON_EXTRA_PACKAGES"

_VALUE_FLAGS: Mapping[str, str] = {
    "diskSizeGb": "disk_size_gb",  # UNCONFIRMED: once reported not to reach a Python template.
    "kmsKeyName": "dataflow_kms_key",
    "machineType": "machine_type",
    "maxWorkers": "max_num_workers",
    "network": "network",
    "numWorkers": "num_workers",
    "sdkContainerImage": "sdk_container_image",
    "serviceAccountEmail": "service_account_email",
    "subnetwork": "subnetwork",
    "workerRegion": "worker_region",
    "workerZone": "worker_zone",
    "zone": "zone",
}
_ENUM_FLAGS: Mapping[str, Mapping[str, str]] = {
    "autoscalingAlgorithm": {
        "AUTOSCALING_ALGORITHM_NONE": "--autoscaling_algorithm=NONE",
        "AUTOSCALING_ALGORITHM_BASIC": "--autoscaling_algorithm=THROUGHPUT_BASED",
    },
    "flexrsGoal": {
        "FLEXRS_SPEED_OPTIMIZED": "--flexrs_goal=SPEED_OPTIMIZED",
        "FLEXRS_COST_OPTIMIZED": "--flexrs_goal=COST_OPTIMIZED",
    },
    "ipConfiguration": {
        "WORKER_IP_PUBLIC": "--use_public_ips",
        "WORKER_IP_PRIVATE": "--no_use_public_ips",
    },
}
NO_FLAG = frozenset(
    {
        "dumpHeapOnOom",  # Java's
        "enableLauncherVmSerialPortLogging",  # the launcher VM's
        "launcherMachineType",  # the launcher VM's
        "saveHeapDumpsToGcsPath",  # Java's
        "streamingMode",  # the service's
    }
)
"""Fields of the environment of which a Python template hears nothing."""

_FAILED = "Error occurred in the launcher container: "
_TRACEBACK = "Traceback (most recent call last):"
_CONSOLE_TAIL_LINES = 20
# What is left of the output of a program that has ended is read until nothing comes for a second,
# and no longer than so many: a process that it leaves behind may hold the pipe open for ever.
_MOST_WAITS = 10

# What the console shows, and what to do about it.
_REMEDIES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"error: (?:unrecognized arguments|no such option)"),
        "The launcher passes options beyond the template's own parameters (--runner, --project, "
        "--template_location and others): let the entry file call parser.parse_known_args() and "
        "give the rest to PipelineOptions.",
    ),
    (
        re.compile(r"Can not query metrics\. Job id is unknown|Failed to get the Dataflow job id"),
        "In a Flex Template pipeline.run() only stages the job: the entry file must not ask for "
        "metrics or cancel afterwards.",
    ),
    (
        re.compile(r"ModuleNotFoundError: No module named"),
        "The module is not in the template's image: install it there, or put it into the image's "
        "working directory.",
    ),
)


class LaunchFailedError(Exception):
    """The launch ended without a job.

    Args:
        service_text: what Dataflow says.
        remedy: what to change.
        program_text: what the program itself said last.
    """

    def __init__(self, service_text: str, remedy: str, program_text: str = "") -> None:
        super().__init__(service_text)
        self.service_text = service_text
        self.remedy = remedy
        self.program_text = program_text


@dataclass(frozen=True, kw_only=True)
class LaunchOrder:
    """A Flex Template to launch, valid in every respect.

    ``environment`` is a ``FlexTemplateRuntimeEnvironment``: the request's fields over those of the
    spec's ``defaultEnvironment``. Locations are ``gs://`` URLs.
    """

    job_id: str
    job_name: str
    project_id: str
    region: str
    image: str
    parameters: Mapping[str, str]
    environment: Mapping[str, Any]
    staging_location: str
    temp_location: str
    launch_timeout_sec: float

    @property
    def launch_folder(self) -> str:
        """Where the launcher and the service exchange their files."""
        return f"{self.staging_location.rstrip('/')}/template_launches/{self.job_id}"


def build_flags(order: LaunchOrder) -> list[str]:
    """Return the flags that the entry file is given, sorted as the launcher sorts them."""
    named = {
        "staging_location": order.staging_location,
        "temp_location": order.temp_location,
        **{
            flag: str(order.environment[field])
            for field, flag in _VALUE_FLAGS.items()
            if order.environment.get(field)
        },
        **order.parameters,
        "job_name": order.job_name,
        "project": order.project_id,
        "region": order.region,
        "runner": "DataflowRunner",
        "template_location": f"{order.launch_folder}/job_object",
    }
    flags = [f"--{name}={value}" for name, value in named.items()]
    return _sorted([*flags, *_other_flags(order.environment)])


def _other_flags(environment: Mapping[str, Any]) -> Iterator[str]:
    for field, flags in _ENUM_FLAGS.items():
        if environment.get(field) in flags:
            yield flags[environment[field]]
    if environment.get("enableStreamingEngine"):
        yield "--enable_streaming_engine"
    if environment.get("additionalUserLabels"):
        yield f"--labels={json.dumps(environment['additionalUserLabels'], sort_keys=True)}"
    # One flag each: Beam splits a value at its commas.
    for experiment in environment.get("additionalExperiments", []):
        yield f"--experiments={experiment}"
    for option in environment.get("additionalPipelineOptions", []):
        yield f"--{option.removeprefix('--')}"


def _sorted(flags: list[str]) -> list[str]:
    return sorted(flags, key=lambda flag: flag.partition("=")[0])  # Values keep their order.


def build_command(order: LaunchOrder, image: Image) -> list[str]:
    """Return the command line of the entry file.

    Raises:
        LaunchFailedError: the image has no entry file, or none that exists.
    """
    name = image.env.get(PY_FILE)
    if not name:
        raise LaunchFailedError(
            f"{_FAILED}could not determine py file from env",
            f"Set {PY_FILE} in the image {order.image}: "
            f'ENV {PY_FILE}="main.py" in its Dockerfile, '
            "and the same under env in images.toml.",
        )
    path = image.find_file(name)
    if not path.is_file():
        raise LaunchFailedError(
            f"{_FAILED}file {path} does not exist",
            f"{PY_FILE} of the image {order.image} is {name!r}, "
            f"relative to its working directory {image.workdir}: correct one of them.",
        )
    staged = [
        f"--{flag}={image.env[variable]}"
        for variable, flag in _STAGING_FLAGS.items()
        if image.env.get(variable)
    ]
    extra = filter(None, image.env.get(_EXTRA_PACKAGES, "").split(","))
    staged += [f"--extra_package={package}" for package in extra]
    options = shlex.split(image.env.get(_PY_OPTIONS, ""))
    return [str(image.python), *options, name, *_sorted([*build_flags(order), *staged])]


def run_launcher(
    order: LaunchOrder,
    image: Image,
    *,
    env: Mapping[str, str],
    umask: int,
    children: Children,
    store: ObjectStore,
    report_line: Callable[[str], None],
) -> Mapping[str, Any]:
    """Run the entry file and return the Job that it staged; block until then.

    The console output goes, whatever happens, to ``console_logs`` in the launch's folder, and each
    line to ``report_line``.

    Raises:
        LaunchFailedError: the program failed, took too long or staged no job.
        ChildrenClosedError: the job was cancelled.
    """
    _check_staging_bucket(order, store)
    console: list[str] = []
    error: str | None = "cancelled"
    try:
        command = build_command(order, image)
        child = children.start(
            command,
            cwd=image.workdir,
            env=env,
            umask=umask,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        _wait(child, order, console, report_line)
        error = None
    except LaunchFailedError as failure:
        error = failure.service_text
        raise
    finally:
        _write(store, order, "console_logs", "".join(console).encode())
        result = {"done": True} | ({"error": {"code": 2, "message": error}} if error else {})
        _write(store, order, "operation_result", json.dumps(result).encode())
    return _read_job_object(order, store, console)


def _wait(
    child: Child, order: LaunchOrder, console: list[str], report_line: Callable[[str], None]
) -> None:
    def collect() -> None:
        for raw in child.stdout:
            line = raw.decode(errors="replace")
            console.append(line)
            report_line(line.rstrip())

    reader = threading.Thread(target=collect, name=f"console-{order.job_id}", daemon=True)
    reader.start()
    status = child.wait(order.launch_timeout_sec)
    if status is None:
        child.kill()
    for _ in range(_MOST_WAITS):
        lines = len(console)
        reader.join(1.0)
        if len(console) == lines:
            break
    if status is None:
        raise _timeout(order, console)
    if status != 0:
        text = "".join(console)
        console += [
            f"python failed with exit status {status}\n",
            f"Error: Template launch failed: exit status {status}\n",
        ]
        raise LaunchFailedError(
            f"{_FAILED}Template launch failed. See console logs.",
            _find_remedy(text)
            or f"The entry file failed with exit status {status}: mend what it says above. "
            f"Its whole output is in {order.launch_folder}/console_logs.",
            last_words(text),
        )


def last_words(console: str) -> str:
    """Return the last traceback in a program's output, or else its last lines."""
    start = console.rfind(_TRACEBACK)
    if start >= 0:
        return console[start:].rstrip()
    return "\n".join(console.rstrip().splitlines()[-_CONSOLE_TAIL_LINES:])


def _find_remedy(console: str) -> str:
    return next((remedy for pattern, remedy in _REMEDIES if pattern.search(console)), "")


def _timeout(order: LaunchOrder, console: list[str]) -> LaunchFailedError:
    account = order.environment.get("serviceAccountEmail", "the default service account")
    return LaunchFailedError(
        f"Timeout in polling result file: {order.launch_folder}/operation_result.\n"
        f"Service account: {account}\n"
        f"Image URL: {order.image}\n"
        "Troubleshooting guide at "
        "https://cloud.google.com/dataflow/docs/guides/common-errors#timeout-polling",
        f"The launcher had {order.launch_timeout_sec:g} s and was stopped. If the entry file does "
        "need longer, raise the limit: launchParameter.launchOptions "
        '{"ft_launch_timeout_secs": "600"}.',
        last_words("".join(console)),
    )


def _check_staging_bucket(order: LaunchOrder, store: ObjectStore) -> None:
    bucket, _ = split_gs_url(order.launch_folder)
    try:
        store.get_bucket(bucket)
    except NotFound as error:
        path = f"{order.launch_folder}/operation_result"
        raise LaunchFailedError(
            f"Failed to read the result file : {path} with error message: "
            f"Unable to open template file: {path}..",
            f"The bucket of the staging location {order.staging_location} does not exist: "
            f"create it (gcloud storage buckets create gs://{bucket}) or name another.",
        ) from error


def _read_job_object(
    order: LaunchOrder, store: ObjectStore, console: list[str]
) -> Mapping[str, Any]:
    path = f"{order.launch_folder}/job_object"
    program_text = last_words("".join(console))
    failed = f"Failed to read the job file : {path} with error message: "
    try:
        job = json.loads(store.read(*split_gs_url(path)))
    except NotFound as error:
        raise LaunchFailedError(
            f"{failed}Unable to open template file: {path}..",
            "The entry file ended well but staged no job: it must run its pipeline with the "
            "options that it was given, and must not set runner, project, job_name, region or "
            "template_location itself.",
            program_text,
        ) from error
    except ValueError as error:
        raise LaunchFailedError(
            f"{failed}{error}", f"What was written to {path} is not JSON.", program_text
        ) from error
    if not isinstance(job, dict):
        raise LaunchFailedError(
            f"{failed}not a Job", f"What was written to {path} is not a Job.", program_text
        )
    changed = _find_overwritten(job, order)
    if changed:
        raise LaunchFailedError(
            f"Failed to read the job file : {path}...",
            f"The entry file overwrites options of the launcher: {'; '.join(changed)}. "
            "It must leave runner, project, job_name, region and template_location as they are.",
            program_text,
        )
    return job


def _find_overwritten(job: Mapping[str, Any], order: LaunchOrder) -> list[str]:
    """Return which options of the launcher a staged job has otherwise, in words.

    Dataflow's documentation forbids it and names the error; UNCONFIRMED: that the service always
    notices.
    https://cloud.google.com/dataflow/docs/guides/troubleshoot-templates
    """
    options = pipeline_options(job)
    given = {"job_name": order.job_name, "project": order.project_id, "region": order.region}
    return [
        f"{name} is {options[name]!r}, not {value!r}"
        for name, value in given.items()
        if options.get(name, value) != value
    ]


def _write(store: ObjectStore, order: LaunchOrder, name: str, data: bytes) -> None:
    bucket, path = split_gs_url(f"{order.launch_folder}/{name}")
    store.write(bucket, path, data, content_type="text/plain")
