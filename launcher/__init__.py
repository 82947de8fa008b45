"""Package a prediction pipeline as a Flex Template, launch it, and follow the job.

The public API; everything else is private. Names are loaded when first used, so importing this
package, or running ``flexpack --help``, loads no Google library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from launcher.accelerators.catalogue import Accelerator as Accelerator
    from launcher.errors import ApiError as ApiError
    from launcher.errors import CredentialsError as CredentialsError
    from launcher.errors import FlexpackError as FlexpackError
    from launcher.errors import ImageError as ImageError
    from launcher.errors import InputError as InputError
    from launcher.errors import LaunchUncertain as LaunchUncertain
    from launcher.errors import ServiceError as ServiceError
    from launcher.errors import SpecConflict as SpecConflict
    from launcher.errors import SpecError as SpecError
    from launcher.errors import StorageError as StorageError
    from launcher.errors import Unreachable as Unreachable
    from launcher.finding import Finding as Finding
    from launcher.finding import Severity as Severity
    from launcher.google.runtime_environment import (
        FlexTemplateRuntimeEnvironment as FlexTemplateRuntimeEnvironment,
    )
    from launcher.image.build import build_image as build_image
    from launcher.image.plan import ImageOptions as ImageOptions
    from launcher.image.record import BuiltImage as BuiltImage
    from launcher.image.trial import ModelTrial as ModelTrial
    from launcher.image_reference import (
        build_artifact_registry_name as build_artifact_registry_name,
    )
    from launcher.jobs.dataflow import Dataflow as Dataflow
    from launcher.jobs.diagnosis import diagnose_job as diagnose_job
    from launcher.jobs.errors import JobCancelled as JobCancelled
    from launcher.jobs.errors import JobError as JobError
    from launcher.jobs.errors import JobFailed as JobFailed
    from launcher.jobs.errors import JobMismatch as JobMismatch
    from launcher.jobs.errors import JobTimeout as JobTimeout
    from launcher.jobs.failures import Diagnosis as Diagnosis
    from launcher.jobs.following import FollowedJob as FollowedJob
    from launcher.jobs.following import follow_job as follow_job
    from launcher.jobs.records import Job as Job
    from launcher.jobs.records import JobMessage as JobMessage
    from launcher.jobs.records import JobObserver as JobObserver
    from launcher.jobs.records import JobState as JobState
    from launcher.jobs.records import MessageImportance as MessageImportance
    from launcher.jobs.records import Metric as Metric
    from launcher.jobs.records import Milestone as Milestone
    from launcher.jobs.records import RowCounts as RowCounts
    from launcher.jobs.verify import Comparison as Comparison
    from launcher.jobs.verify import verify_job as verify_job
    from launcher.jobs.waiting import wait_for_job as wait_for_job
    from launcher.launch.environment import build_environment as build_environment
    from launcher.launch.fallback import Fallback as Fallback
    from launcher.launch.options import EnvironmentOptions as EnvironmentOptions
    from launcher.launch.options import LaunchConfig as LaunchConfig
    from launcher.launch.plan import LaunchPlan as LaunchPlan
    from launcher.launch.request import LaunchFlexTemplateRequest as LaunchFlexTemplateRequest
    from launcher.launch.request import build_launch_request as build_launch_request
    from launcher.package.metadata import ParameterMetadata as ParameterMetadata
    from launcher.package.metadata import TemplateMetadata as TemplateMetadata
    from launcher.package.metadata import build_template_metadata as build_template_metadata
    from launcher.package.spec import ContainerSpec as ContainerSpec
    from launcher.package.spec import build_container_spec as build_container_spec
    from launcher.package.spec_storage import download_spec as download_spec
    from launcher.package.spec_storage import upload_spec as upload_spec
    from launcher.preflight.parameters import check_parameters as check_parameters
    from launcher.workflow import RunObserver as RunObserver
    from launcher.workflow import RunResult as RunResult
    from launcher.workflow import run_template as run_template

# Every public name, by the module that has it.
_NAMES = {
    "launcher.accelerators.catalogue": ("Accelerator",),
    "launcher.errors": (
        "ApiError",
        "CredentialsError",
        "FlexpackError",
        "ImageError",
        "InputError",
        "LaunchUncertain",
        "ServiceError",
        "SpecConflict",
        "SpecError",
        "StorageError",
        "Unreachable",
    ),
    "launcher.finding": ("Finding", "Severity"),
    "launcher.google.runtime_environment": ("FlexTemplateRuntimeEnvironment",),
    "launcher.image.build": ("build_image",),
    "launcher.image.plan": ("ImageOptions",),
    "launcher.image.record": ("BuiltImage",),
    "launcher.image.trial": ("ModelTrial",),
    "launcher.image_reference": ("build_artifact_registry_name",),
    "launcher.jobs.dataflow": ("Dataflow",),
    "launcher.jobs.diagnosis": ("diagnose_job",),
    "launcher.jobs.errors": ("JobCancelled", "JobError", "JobFailed", "JobMismatch", "JobTimeout"),
    "launcher.jobs.failures": ("Diagnosis",),
    "launcher.jobs.following": ("FollowedJob", "follow_job"),
    "launcher.jobs.records": (
        "Job",
        "JobMessage",
        "JobObserver",
        "JobState",
        "MessageImportance",
        "Metric",
        "Milestone",
        "RowCounts",
    ),
    "launcher.jobs.verify": ("Comparison", "verify_job"),
    "launcher.jobs.waiting": ("wait_for_job",),
    "launcher.launch.environment": ("build_environment",),
    "launcher.launch.fallback": ("Fallback",),
    "launcher.launch.options": ("EnvironmentOptions", "LaunchConfig"),
    "launcher.launch.plan": ("LaunchPlan",),
    "launcher.launch.request": ("LaunchFlexTemplateRequest", "build_launch_request"),
    "launcher.package.metadata": (
        "ParameterMetadata",
        "TemplateMetadata",
        "build_template_metadata",
    ),
    "launcher.package.spec": ("ContainerSpec", "build_container_spec"),
    "launcher.package.spec_storage": ("download_spec", "upload_spec"),
    "launcher.preflight.parameters": ("check_parameters",),
    "launcher.workflow": ("RunObserver", "RunResult", "run_template"),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
