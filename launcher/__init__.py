"""Package a prediction pipeline as a Flex Template, launch it, and follow the job.

The public API; all else is private. Names are loaded when first used, so that importing this
package, or running ``flexpack --help``, loads no Google library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from launcher.accelerators import Accelerator
    from launcher.dataflow import Dataflow
    from launcher.diagnosis import Diagnosis, diagnose_job
    from launcher.environment import (
        EnvironmentOptions,
        FlexTemplateRuntimeEnvironment,
        build_environment,
    )
    from launcher.errors import (
        ApiError,
        CredentialsError,
        FlexpackError,
        ImageError,
        InputError,
        JobCancelled,
        JobError,
        JobFailed,
        JobMismatch,
        JobTimeout,
        LaunchUncertain,
        ServiceError,
        SpecConflict,
        SpecError,
        StorageError,
        Unreachable,
    )
    from launcher.gcs import download_spec, upload_spec
    from launcher.image.build import BuiltImage, build_image
    from launcher.image.names import build_artifact_registry_name
    from launcher.image.plan import ImageOptions
    from launcher.jobs import (
        Job,
        JobMessage,
        JobObserver,
        JobState,
        MessageImportance,
        Metric,
        Milestone,
        RowCounts,
        wait_for_job,
    )
    from launcher.metadata import ParameterMetadata, TemplateMetadata, build_template_metadata
    from launcher.preflight.finding import Finding, Severity
    from launcher.preflight.parameters import check_parameters
    from launcher.read_back import read_job_back
    from launcher.request import LaunchConfig, LaunchFlexTemplateRequest, build_launch_request
    from launcher.spec import ContainerSpec, build_container_spec

_HOMES = {
    "Accelerator": "launcher.accelerators",
    "ApiError": "launcher.errors",
    "BuiltImage": "launcher.image.build",
    "ContainerSpec": "launcher.spec",
    "CredentialsError": "launcher.errors",
    "Dataflow": "launcher.dataflow",
    "Diagnosis": "launcher.diagnosis",
    "EnvironmentOptions": "launcher.environment",
    "Finding": "launcher.preflight.finding",
    "FlexTemplateRuntimeEnvironment": "launcher.environment",
    "FlexpackError": "launcher.errors",
    "ImageError": "launcher.errors",
    "ImageOptions": "launcher.image.plan",
    "InputError": "launcher.errors",
    "Job": "launcher.jobs",
    "JobCancelled": "launcher.errors",
    "JobError": "launcher.errors",
    "JobFailed": "launcher.errors",
    "JobMessage": "launcher.jobs",
    "JobMismatch": "launcher.errors",
    "JobObserver": "launcher.jobs",
    "JobState": "launcher.jobs",
    "JobTimeout": "launcher.errors",
    "LaunchConfig": "launcher.request",
    "LaunchFlexTemplateRequest": "launcher.request",
    "LaunchUncertain": "launcher.errors",
    "MessageImportance": "launcher.jobs",
    "Metric": "launcher.jobs",
    "Milestone": "launcher.jobs",
    "ParameterMetadata": "launcher.metadata",
    "RowCounts": "launcher.jobs",
    "ServiceError": "launcher.errors",
    "Severity": "launcher.preflight.finding",
    "SpecConflict": "launcher.errors",
    "SpecError": "launcher.errors",
    "StorageError": "launcher.errors",
    "TemplateMetadata": "launcher.metadata",
    "Unreachable": "launcher.errors",
    "build_artifact_registry_name": "launcher.image.names",
    "build_container_spec": "launcher.spec",
    "build_environment": "launcher.environment",
    "build_image": "launcher.image.build",
    "build_launch_request": "launcher.request",
    "build_template_metadata": "launcher.metadata",
    "check_parameters": "launcher.preflight.parameters",
    "diagnose_job": "launcher.diagnosis",
    "download_spec": "launcher.gcs",
    "read_job_back": "launcher.read_back",
    "upload_spec": "launcher.gcs",
    "wait_for_job": "launcher.jobs",
}

__all__ = [
    "Accelerator",
    "ApiError",
    "BuiltImage",
    "ContainerSpec",
    "CredentialsError",
    "Dataflow",
    "Diagnosis",
    "EnvironmentOptions",
    "Finding",
    "FlexTemplateRuntimeEnvironment",
    "FlexpackError",
    "ImageError",
    "ImageOptions",
    "InputError",
    "Job",
    "JobCancelled",
    "JobError",
    "JobFailed",
    "JobMessage",
    "JobMismatch",
    "JobObserver",
    "JobState",
    "JobTimeout",
    "LaunchConfig",
    "LaunchFlexTemplateRequest",
    "LaunchUncertain",
    "MessageImportance",
    "Metric",
    "Milestone",
    "ParameterMetadata",
    "RowCounts",
    "ServiceError",
    "Severity",
    "SpecConflict",
    "SpecError",
    "StorageError",
    "TemplateMetadata",
    "Unreachable",
    "build_artifact_registry_name",
    "build_container_spec",
    "build_environment",
    "build_image",
    "build_launch_request",
    "build_template_metadata",
    "check_parameters",
    "diagnose_job",
    "download_spec",
    "read_job_back",
    "upload_spec",
    "wait_for_job",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
