"""Check that the APIs that a job needs are enabled in the project."""

from __future__ import annotations

from collections.abc import Iterator

from launcher.finding import API_DISABLED, Finding, error
from launcher.preflight.live.cloud import Cloud
from launcher.preflight.subject import Launch

_ALWAYS = ("compute", "dataflow", "logging", "storage")


def check_services(cloud: Cloud, launch: Launch) -> Iterator[Finding]:
    """Yield the APIs that are not enabled."""
    needed = list(_ALWAYS)
    if "docker.pkg.dev" in launch.image:
        needed.append("artifactregistry")
    if launch.find_parameters("PUBSUB_TOPIC", "PUBSUB_SUBSCRIPTION"):
        needed.append("pubsub")
    parent = f"projects/{launch.project}"
    answer = cloud.ask(
        "serviceusage",
        lambda api: api.services().batchGet(
            parent=parent, names=[f"{parent}/services/{name}.googleapis.com" for name in needed]
        ),
    )
    for service in answer.get("services", ()):
        name = str(service.get("name", "")).rpartition("/")[2]
        if service.get("state") != "ENABLED":
            yield error(
                API_DISABLED,
                f"--project {launch.project}: the API {name} is not enabled",
                f"gcloud services enable {name} --project {launch.project}",
            )
