"""Check that launcher and workers have a network from which they can reach Google."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from launcher.finding import NETWORK_CUSTOM, NETWORK_MISSING, NETWORK_PRIVATE_ACCESS, Finding, error
from launcher.preflight.live.cloud import Cloud, Missing
from launcher.preflight.subject import Launch


def check_network(cloud: Cloud, launch: Launch) -> Iterator[Finding]:
    """Yield the problems of network and subnetwork."""
    environment = launch.environment
    region = environment.worker_region or launch.region
    project, name = launch.project, environment.network or "default"
    if environment.subnetwork:
        project, region, name = _split(environment.subnetwork, project, region)
    else:
        try:
            network = cloud.ask(
                "compute", lambda api: api.networks().get(project=project, network=name)
            )
        except Missing:
            yield error(
                NETWORK_MISSING,
                f"--network {name}: there is no such network in {project}",
                "Name one with --network, or its subnetwork with --subnetwork.",
            )
            return
        if not network.get("autoCreateSubnetworks"):
            yield error(
                NETWORK_CUSTOM,
                f"--network {name}: does not create subnetworks by itself, and --subnetwork names "
                "none",
                f"Add --subnetwork regions/{region}/subnetworks/NAME.",
            )
            return
    try:
        subnetwork: dict[str, Any] = cloud.ask(
            "compute",
            lambda api: api.subnetworks().get(project=project, region=region, subnetwork=name),
        )
    except Missing:
        yield error(
            NETWORK_MISSING,
            f"--subnetwork {name}: there is no such subnetwork in {region} of {project}",
            "Correct the name or the region.",
        )
        return
    private = environment.ip_configuration == "WORKER_IP_PRIVATE"
    if private and not subnetwork.get("privateIpGoogleAccess"):
        yield error(
            NETWORK_PRIVATE_ACCESS,
            f"--disable-public-ips: subnetwork {name} has Private Google Access turned off, so "
            "the launcher cannot pull its images",
            f"gcloud compute networks subnets update {name} --region {region} "
            f"--project {project} --enable-private-ip-google-access",
        )


def _split(subnetwork: str, project: str, region: str) -> tuple[str, str, str]:
    """Return project, region and name of a subnetwork in its short or long form."""
    parts = subnetwork.split("/")
    for key, value in itertools.pairwise(parts):
        if key == "projects":
            project = value
        elif key == "regions":
            region = value
    return project, region, parts[-1]
