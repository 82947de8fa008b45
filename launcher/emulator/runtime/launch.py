"""A launch that the service has accepted, and the flags that the template's entry file gets.

UNCONFIRMED, because the launcher's source is not public: the spelling of flags for lists.
https://cloud.google.com/dataflow/docs/guides/templates/configuring-flex-templates
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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
"""Fields of the runtime environment that do not reach a Python template."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A valid launch of a Flex Template. Locations are ``gs://`` URLs.

    Attributes:
        runtime_environment: a ``FlexTemplateRuntimeEnvironment``: the request's fields over those
            of the spec's ``defaultEnvironment``.
        provided_bucket: the bucket of the locations if Dataflow itself provides it.
        streaming: whether the spec says that it launches a streaming job.
    """

    job_name: str
    project_id: str
    region: str
    image: str
    parameters: Mapping[str, str]
    runtime_environment: Mapping[str, Any]
    staging_location: str
    temp_location: str
    launch_timeout_sec: float
    provided_bucket: str | None = None
    streaming: bool = False

    @property
    def expected_worker_image(self) -> str | None:
        """The image of the job's workers, unless the template itself sets another."""
        image: str | None = self.runtime_environment.get("sdkContainerImage")
        return image or self.parameters.get("sdk_container_image")

    def folder(self, job_id: str) -> str:
        """Return the URL of the folder in which the launcher and the service exchange files."""
        return f"{self.staging_location.rstrip('/')}/template_launches/{job_id}"


def build_flags(launch: Launch, template_location: str) -> list[str]:
    """Return the flags that the entry file gets, sorted as the launcher sorts them."""
    named = {
        "staging_location": launch.staging_location,
        "temp_location": launch.temp_location,
        **{
            flag: str(launch.runtime_environment[field])
            for field, flag in _VALUE_FLAGS.items()
            if launch.runtime_environment.get(field)
        },
        **launch.parameters,
        "job_name": launch.job_name,
        "project": launch.project_id,
        "region": launch.region,
        "runner": "DataflowRunner",
        "template_location": template_location,
    }
    flags = [f"--{name}={value}" for name, value in named.items()]
    return sort_flags([*flags, *_other_flags(launch.runtime_environment)])


def sort_flags(flags: Iterable[str]) -> list[str]:
    """Sort flags by name; flags of the same name keep their order."""
    return sorted(flags, key=lambda flag: flag.partition("=")[0])


def _other_flags(runtime_environment: Mapping[str, Any]) -> Iterator[str]:
    for field, flags in _ENUM_FLAGS.items():
        if runtime_environment.get(field) in flags:
            yield flags[runtime_environment[field]]
    if runtime_environment.get("enableStreamingEngine"):
        yield "--enable_streaming_engine"
    if labels := runtime_environment.get("additionalUserLabels"):
        yield f"--labels={json.dumps(labels, sort_keys=True)}"
    # One flag each: Beam splits a value at its commas.
    for experiment in runtime_environment.get("additionalExperiments", []):
        yield f"--experiments={experiment}"
    for option in runtime_environment.get("additionalPipelineOptions", []):
        yield f"--{option.removeprefix('--')}"
