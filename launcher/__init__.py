"""Package a prediction pipeline as a Flex Template, launch it, and follow the job.

The public API; all else is private. Names are loaded when first used, so that importing this
package, or running ``flexpack --help``, loads no Google library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from launcher.accelerators.catalogue import Accelerator
    from launcher.errors import (
        ApiError,
        CredentialsError,
        FlexpackError,
        ImageError,
        InputError,
        LaunchUncertain,
        ServiceError,
        SpecConflict,
        SpecError,
        StorageError,
        Unreachable,
    )
    from launcher.finding import Finding, Severity
    from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
    from launcher.image.build import BuiltImage, build_image
    from launcher.image.plan import ImageOptions
    from launcher.image_reference import build_artifact_registry_name
    from launcher.jobs.dataflow import Dataflow
    from launcher.jobs.diagnosis import diagnose_job
    from launcher.jobs.errors import JobCancelled, JobError, JobFailed, JobMismatch, JobTimeout
    from launcher.jobs.failures import Diagnosis
    from launcher.jobs.records import (
        Job,
        JobMessage,
        JobObserver,
        JobState,
        MessageImportance,
        Metric,
        Milestone,
        RowCounts,
    )
    from launcher.jobs.verify import read_job_back
    from launcher.jobs.waiting import wait_for_job
    from launcher.launch.environment import EnvironmentOptions, build_environment
    from launcher.launch.request import (
        LaunchConfig,
        LaunchFlexTemplateRequest,
        build_launch_request,
    )
    from launcher.package.metadata import (
        ParameterMetadata,
        TemplateMetadata,
        build_template_metadata,
    )
    from launcher.package.spec import ContainerSpec, build_container_spec
    from launcher.package.spec_storage import download_spec, upload_spec
    from launcher.preflight.parameters import check_parameters

_HOMES = {
    "Accelerator": "launcher.accelerators.catalogue",
    "ApiError": "launcher.errors",
    "BuiltImage": "launcher.image.build",
    "ContainerSpec": "launcher.package.spec",
    "CredentialsError": "launcher.errors",
    "Dataflow": "launcher.jobs.dataflow",
    "Diagnosis": "launcher.jobs.failures",
    "EnvironmentOptions": "launcher.launch.environment",
    "Finding": "launcher.finding",
    "FlexTemplateRuntimeEnvironment": "launcher.google.runtime_environment",
    "FlexpackError": "launcher.errors",
    "ImageError": "launcher.errors",
    "ImageOptions": "launcher.image.plan",
    "InputError": "launcher.errors",
    "Job": "launcher.jobs.records",
    "JobCancelled": "launcher.jobs.errors",
    "JobError": "launcher.jobs.errors",
    "JobFailed": "launcher.jobs.errors",
    "JobMessage": "launcher.jobs.records",
    "JobMismatch": "launcher.jobs.errors",
    "JobObserver": "launcher.jobs.records",
    "JobState": "launcher.jobs.records",
    "JobTimeout": "launcher.jobs.errors",
    "LaunchConfig": "launcher.launch.request",
    "LaunchFlexTemplateRequest": "launcher.launch.request",
    "LaunchUncertain": "launcher.errors",
    "MessageImportance": "launcher.jobs.records",
    "Metric": "launcher.jobs.records",
    "Milestone": "launcher.jobs.records",
    "ParameterMetadata": "launcher.package.metadata",
    "RowCounts": "launcher.jobs.records",
    "ServiceError": "launcher.errors",
    "Severity": "launcher.finding",
    "SpecConflict": "launcher.errors",
    "SpecError": "launcher.errors",
    "StorageError": "launcher.errors",
    "TemplateMetadata": "launcher.package.metadata",
    "Unreachable": "launcher.errors",
    "build_artifact_registry_name": "launcher.image_reference",
    "build_container_spec": "launcher.package.spec",
    "build_environment": "launcher.launch.environment",
    "build_image": "launcher.image.build",
    "build_launch_request": "launcher.launch.request",
    "build_template_metadata": "launcher.package.metadata",
    "check_parameters": "launcher.preflight.parameters",
    "diagnose_job": "launcher.jobs.diagnosis",
    "download_spec": "launcher.package.spec_storage",
    "read_job_back": "launcher.jobs.verify",
    "upload_spec": "launcher.package.spec_storage",
    "wait_for_job": "launcher.jobs.waiting",
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
