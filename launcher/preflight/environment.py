"""Checks of a job's runtime environment, except its GPUs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from launcher.finding import (
    JOB_NAME,
    LOCAL_ADDRESS,
    NETWORK_PRIVATE,
    NETWORK_SUBNETWORK,
    OPTIONS_RESERVED,
    WORKERS_IMAGE,
    WORKERS_IMAGE_DIFFERS,
    Finding,
    error,
    warning,
)
from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.package.metadata_checks import RESERVED_OPTIONS
from launcher.preflight.image_rules import ON_THIS_MACHINE, check_image_reference
from launcher.preflight.regions import check_regions

# https://cloud.google.com/resource-manager/docs/labels-overview
_LONGEST_JOB_NAME = 63

_SUBNETWORK = re.compile(
    r"(https://www\.googleapis\.com/compute/v1/projects/(?P<project>[^/]+)/)?"
    r"regions/(?P<region>[a-z0-9-]+)/subnetworks/(?P<name>[a-z]([-a-z0-9]*[a-z0-9])?)"
)


def check_environment(
    environment: FlexTemplateRuntimeEnvironment,
    parameters: Mapping[str, str],
    *,
    region: str | None = None,
    job_name: str = "",
) -> Iterator[Finding]:
    """Yield the problems of a job's environment.

    Args:
        environment: the launch's environment over the template's.
        region: where the job is launched, if known.
    """
    yield from _check_network(environment, region)
    yield from check_regions(region, environment)
    if len(job_name) > _LONGEST_JOB_NAME:
        yield warning(
            JOB_NAME,
            f"JOB_NAME {job_name!r}: {len(job_name)} characters; the service accepts that, but "
            f"tools that put job names into labels accept at most {_LONGEST_JOB_NAME}",
            "Shorten it.",
        )
    for option in environment.additional_pipeline_options:
        name = option.removeprefix("--").partition("=")[0]
        if name in RESERVED_OPTIONS:
            yield error(
                OPTIONS_RESERVED,
                f"--additional-pipeline-options {option}: the launcher sets {name} itself, and "
                "with another value the launch ends without its job file",
                "Remove it.",
            )
    for name, value in parameters.items():
        if ON_THIS_MACHINE.search(value):
            yield warning(
                LOCAL_ADDRESS,
                f"--parameters {name}={value}: workers cannot reach an address of this machine",
                "Give an address that the workers can reach.",
            )


def check_workers_image(
    environment: FlexTemplateRuntimeEnvironment, parameters: Mapping[str, str], *, image: str
) -> Iterator[Finding]:
    """Yield the problems of the image of a Python job's workers.

    Args:
        image: the template's own image.
    """
    workers = environment.sdk_container_image or parameters.get("sdk_container_image")
    if not workers:
        # A pipeline without packages of its own can run on the stock image, as Google's samples do.
        yield warning(
            WORKERS_IMAGE,
            "sdkContainerImage: not set, so the workers run Beam's stock image, which has "
            "neither torch nor the template's code",
            f"Add --sdk-container-image {image}.",
        )
        return
    if workers != image:
        yield warning(
            WORKERS_IMAGE_DIFFERS,
            f"--sdk-container-image {workers}: not the launcher's image {image}; both need the "
            "same Beam, Python and packages",
            "Use one image for both, unless you build them together.",
        )
        yield from check_image_reference("--sdk-container-image", workers)


def _check_network(
    environment: FlexTemplateRuntimeEnvironment, region: str | None
) -> Iterator[Finding]:
    subnetwork = environment.subnetwork
    if subnetwork:
        match = _SUBNETWORK.fullmatch(subnetwork)
        if not match:
            yield error(
                NETWORK_SUBNETWORK,
                f"--subnetwork {subnetwork!r}: not in the form that Dataflow reads",
                "Write regions/REGION/subnetworks/NAME, or for a shared network "
                "https://www.googleapis.com/compute/v1/projects/PROJECT/regions/REGION/"
                "subnetworks/NAME.",
            )
        elif region and match["region"] != (environment.worker_region or region):
            yield error(
                NETWORK_SUBNETWORK,
                f"--subnetwork {subnetwork}: is in {match['region']}, but the workers are in "
                f"{environment.worker_region or region}",
                "Name a subnetwork of the workers' region.",
            )
    if environment.ip_configuration == "WORKER_IP_PRIVATE" and not subnetwork:
        yield warning(
            NETWORK_PRIVATE,
            "--disable-public-ips without --subnetwork: launcher and workers reach Google only "
            "where the default subnetwork has Private Google Access",
            "Name a subnetwork that has it; flexpack check --live verifies that.",
        )
