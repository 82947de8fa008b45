"""Each failure that the live checks catch, in a project that has it, over real HTTP.

A test is named after the failure's id in ``launcher/jobs/failures.json``.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from launcher import (
    Accelerator,
    EnvironmentOptions,
    Finding,
    Severity,
    build_environment,
    build_template_metadata,
)
from launcher.cli import main
from launcher.finding import BUCKET_MISSING, CODES, OBJECT_MISSING, Depth
from launcher.preflight.live.cloud import Cloud
from launcher.preflight.subject import Launch, Subject, Tools
from launcher.preflight.suite import run_checks
from template.parameters import BATCH, STREAMING
from tests.launcher.preflight.google_apis import GoogleApis

IMAGE = "europe-west4-docker.pkg.dev/my-project/images/fashion"
ACCOUNT = "123-compute@developer.gserviceaccount.com"
LAUNCH = Launch(
    project="my-project",
    region="europe-west4",
    image=f"{IMAGE}:1.0",
    environment=build_environment(
        EnvironmentOptions(
            accelerator=Accelerator("nvidia-l4"),
            max_workers=2,
            staging_location="gs://my-bucket/staging",
        ),
        image=f"{IMAGE}:1.0",
    ),
    parameters={"input": "gs://my-bucket/a.csv", "model_path": "gs://my-bucket/m.pth"},
    metadata=build_template_metadata(BATCH),
)


def find_live(cloud: Cloud, launch: Launch) -> list[Finding]:
    live = {code.name for code in CODES if code.depth is Depth.LIVE}
    live |= {OBJECT_MISSING.name, BUCKET_MISSING.name}  # which a launch requests too
    subject = Subject(tools=Tools(python=Path(sys.executable)), launch=launch)
    return [finding for finding in run_checks(subject, cloud) if finding.code in live]


class Project:
    """A project without problems until a test breaks it."""

    def __init__(self) -> None:
        self.disabled: set[str] = set()
        self.buckets = {"my-bucket": {"location": "EUROPE-WEST4"}}
        self.objects = {"my-bucket/a.csv", "my-bucket/m.pth"}
        self.images = [
            {
                "name": f"{IMAGE}@sha256:12",
                "uri": f"{IMAGE}@sha256:12",
                "tags": ["1.0"],
                "imageSizeBytes": "3090000000",
                "imageManifests": [{"architecture": "amd64", "os": "linux"}],
            }
        ]
        self.denied: set[str] = set()
        self.roles = ["roles/dataflow.worker", "projects/my-project/roles/predictor"]
        self.permissions = {
            "roles/dataflow.worker": ["dataflow.workItems.lease"],
            "projects/my-project/roles/predictor": [
                *("storage.objects.get", "storage.objects.create"),
                "artifactregistry.repositories.downloadArtifacts",
                *("pubsub.subscriptions.consume", "pubsub.topics.publish"),
            ],
            "roles/storage.legacyObjectReader": ["storage.objects.get"],
        }
        self.policies: dict[str, dict[str, list[str]]] = {}  # members by role, by resource
        self.quotas = {
            "NVIDIA_L4_GPUS": (4, 0),
            "DISKS_TOTAL_GB": (4096, 100),
            "IN_USE_ADDRESSES": (8, 1),
        }
        self.networks = {"default": {"autoCreateSubnetworks": True}}
        self.subnetworks = {"default": {"privateIpGoogleAccess": False}}
        self.topics: dict[str, dict] = {}
        self.subscriptions: dict[str, dict] = {}
        self.apis = GoogleApis()
        self.apis.answers = {
            "serviceusage.services.batchGet": lambda path, query, body: {
                "services": [
                    {"name": name, "state": self._state(name.rpartition("/")[2])}
                    for name in query["names"]
                ]
            },
            "storage.buckets.get": lambda path, query, body: self.buckets.get(path[2:]),
            "storage.objects.get": lambda path, query, body: (
                {"name": "x"} if path[2:].replace("/o/", "/") in self.objects else None
            ),
            "storage.objects.list": lambda path, query, body: {
                "items": [
                    {"name": name.partition("/")[2]}
                    for name in sorted(self.objects)
                    if name.startswith(f"my-bucket/{query['prefix'][0]}")
                ]
            },
            "storage.buckets.testIamPermissions": lambda path, query, body: self._allowed(
                query["permissions"]
            ),
            "artifactregistry.projects.locations.repositories.dockerImages.list": (
                lambda path, query, body: {"dockerImages": self.images}
            ),
            "artifactregistry.projects.locations.repositories.dockerImages.get": (
                lambda path, query, body: next(
                    (i for i in self.images if i["uri"].endswith(path.rpartition("/")[2])), None
                )
            ),
            "cloudresourcemanager.projects.testIamPermissions": (
                lambda path, query, body: self._allowed(body["permissions"])
            ),
            "cloudresourcemanager.projects.get": lambda path, query, body: {"name": "projects/123"},
            "cloudresourcemanager.projects.getIamPolicy": lambda path, query, body: {
                "bindings": [
                    {"role": role, "members": [f"serviceAccount:{ACCOUNT}"]} for role in self.roles
                ]
            },
            "storage.buckets.getIamPolicy": lambda path, query, body: self._policy(
                path.removesuffix("/iam")
            ),
            **{
                f"{method}.getIamPolicy": lambda path, query, body: self._policy(path)
                for method in (
                    "artifactregistry.projects.locations.repositories",
                    "pubsub.projects.topics",
                    "pubsub.projects.subscriptions",
                )
            },
            "iam.roles.get": lambda path, query, body: self._role(path),
            "iam.projects.roles.get": lambda path, query, body: self._role(path),
            "iam.projects.serviceAccounts.testIamPermissions": (
                lambda path, query, body: self._allowed(body["permissions"])
            ),
            "compute.regions.get": lambda path, query, body: {
                "quotas": [
                    {"metric": metric, "limit": limit, "usage": usage}
                    for metric, (limit, usage) in self.quotas.items()
                ]
            },
            "compute.networks.get": lambda path, query, body: self.networks.get(_last(path)),
            "compute.subnetworks.get": lambda path, query, body: self.subnetworks.get(_last(path)),
            "pubsub.projects.topics.get": lambda path, query, body: self.topics.get(_last(path)),
            "pubsub.projects.subscriptions.get": lambda path, query, body: self.subscriptions.get(
                _last(path)
            ),
        }

    def _state(self, name: str) -> str:
        return "DISABLED" if name in self.disabled else "ENABLED"

    def _allowed(self, permissions):
        return {"permissions": [name for name in permissions if name not in self.denied]}

    def _policy(self, path: str):
        found = self.policies.get(path.rpartition("/")[2].removesuffix(":getIamPolicy"), {})
        return {"bindings": [{"role": role, "members": who} for role, who in found.items()]}

    def _role(self, path: str):
        name = path.removeprefix("v1/")
        found = self.permissions.get(name)
        return found and {"name": name, "includedPermissions": found}

    def check(self, launch: Launch = LAUNCH, timeout_sec: float = 5.0, **options) -> dict[str, str]:
        if options:
            changed = replace(launch.environment, **options)
            launch = replace(launch, environment=changed)
        return {
            finding.code: f"{finding.severity} {finding.message} -> {finding.remedy}"
            for finding in self.check_all(launch, timeout_sec)
        }

    def check_all(self, launch: Launch = LAUNCH, timeout_sec: float = 5.0) -> list[Finding]:
        cloud = Cloud(endpoint=self.apis.endpoint, timeout_sec=timeout_sec)
        return find_live(cloud, launch)


def _last(path: str) -> str:
    return path.rpartition("/")[2]


@pytest.fixture
def cloud():
    project = Project()
    yield project
    project.apis.close()


def test_nothing_is_found_in_a_project_without_mistakes(cloud):
    assert cloud.check() == {}
    assert {name.partition(".")[0] for name in cloud.apis.asked} == {
        *("serviceusage", "storage", "artifactregistry", "cloudresourcemanager", "iam", "compute")
    }


def test_quota(cloud):
    cloud.quotas["NVIDIA_L4_GPUS"] = (1, 1)
    found = cloud.check()["quota-short"]
    assert found.startswith("ERROR --max-workers 2: needs 2 NVIDIA_L4_GPUS in europe-west4")
    assert "but 1 of 1 is already in use" in found
    cloud.quotas |= {"DISKS_TOTAL_GB": (100, 90), "NVIDIA_L4_GPUS": (2, 0)}
    assert "needs 100 DISKS_TOTAL_GB" in cloud.check()["quota-short"]
    n1 = replace(LAUNCH.environment, machine_type="n1-standard-4")
    cloud.quotas |= {"CPUS": (4, 0), "NVIDIA_L4_GPUS": (9, 0), "DISKS_TOTAL_GB": (999, 0)}
    found = cloud.check(replace(LAUNCH, environment=n1))
    assert "needs 8 CPUS" in found["quota-short"]


def test_permission_denied(cloud):
    cloud.denied = {"dataflow.jobs.create"}
    found = cloud.check()["permission-missing"]
    assert "you lack the permission dataflow.jobs.create -> Request roles/dataflow.dev" in found
    cloud.denied = {"storage.objects.create"}
    assert "--staging-location gs://my-bucket/staging" in cloud.check()["permission-missing"]
    cloud.denied = {"iam.serviceAccounts.actAs"}
    assert f"--service-account-email {ACCOUNT}" in cloud.check()["permission-missing"]
    cloud.denied = set()
    cloud.roles = ["roles/viewer"]
    assert "does not give it roles/dataflow.worker" in cloud.check()["worker-role"]
    cloud.disabled = {"dataflow.googleapis.com"}
    assert "gcloud services enable dataflow.googleapis.com" in cloud.check()["api-disabled"]
    cloud.objects = set()
    assert "there is no such object" in cloud.check()["object-missing"]
    cloud.buckets = {}
    found = cloud.check()["bucket-missing"]
    assert "gcloud storage buckets create gs://my-bucket --location europe-west4" in found


def test_files_of_an_earlier_run_are_reported(cloud):
    output = {"output": "gs://my-bucket/out/p"}
    launch = replace(LAUNCH, parameters=LAUNCH.parameters | output)
    cloud.objects |= {"my-bucket/out/p-daily-00000-of-00001.jsonl", "my-bucket/out/p-notes.txt"}
    assert cloud.check(launch) == {}
    cloud.objects.add("my-bucket/out/p-00001-of-00003.jsonl")
    found = cloud.check(launch)["output-exists"]
    assert found.startswith(
        "WARNING --parameters output=gs://my-bucket/out/p: there are files of an"
    )
    assert "gs://my-bucket/out/p-00001-of-00003.jsonl for example" in found


def test_the_workers_rights_are_read_from_the_policies(cloud):
    """They may come from the policy of the project or the resource; a custom role counts."""
    cloud.roles = ["roles/dataflow.worker"]
    launch = replace(
        LAUNCH,
        metadata=build_template_metadata(STREAMING),
        parameters={
            "input_subscription": "projects/my-project/subscriptions/in",
            "output_topic": "projects/my-project/topics/out",
        },
    )
    cloud.subscriptions["in"] = {"topic": "projects/my-project/topics/in"}
    cloud.topics["out"] = {"name": "projects/my-project/topics/out"}
    found = cloud.check_all(launch)
    assert {finding.code for finding in found} == {"worker-permission"}
    reported = [finding.message.partition(": ")[0] for finding in found]
    assert reported == [
        "--staging-location gs://my-bucket/staging",
        "--staging-location gs://my-bucket/staging",
        f"--sdk-container-image {IMAGE}",
        "--parameters input_subscription=projects/my-project/subscriptions/in",
        "--parameters output_topic=projects/my-project/topics/out",
    ]
    assert f"gives {ACCOUNT} the permission storage.objects.create" in found[0].message
    assert found[2].remedy == (
        "gcloud artifacts repositories add-iam-policy-binding images --project my-project "
        f"--location europe-west4 --member serviceAccount:{ACCOUNT} "
        "--role roles/artifactregistry.reader"
    )
    own = {"projects/my-project/roles/predictor": [f"serviceAccount:{ACCOUNT}"]}
    cloud.policies = dict.fromkeys(("my-bucket", "images", "in", "out"), own)
    assert cloud.check_all(launch) == []


def test_anybodys_rights_and_those_of_the_projects_editors_count(cloud):
    cloud.roles = ["roles/editor"]
    cloud.permissions["roles/editor"] = ["artifactregistry.repositories.downloadArtifacts"]
    reads = {"roles/storage.legacyObjectReader": ["allUsers"]}
    cloud.policies = {"my-bucket": reads}
    (found,) = cloud.check_all()
    assert "the permission storage.objects.create" in found.message
    editors = {"projects/my-project/roles/predictor": ["projectEditor:my-project"]}
    cloud.policies = {"my-bucket": reads | editors}
    assert cloud.check_all() == []


def test_a_policy_that_the_caller_may_not_read_is_reported(cloud):
    cloud.apis.broken = {"storage.buckets.getIamPolicy": 403}
    (found,) = cloud.check_all()
    assert found.code == "live-unasked"
    where = "--staging-location gs://my-bucket/staging"
    assert found.message.startswith(f"the workers' permissions, {where}: the query failed: sto")


def test_other_region(cloud):
    cloud.buckets["my-bucket"] = {"location": "US"}
    found = cloud.check()["bucket-region"]
    assert "the bucket is in us, but the workers are in europe-west4" in found
    for near in ("EU", "EUROPE-WEST4"):
        cloud.buckets["my-bucket"] = {"location": near}
        assert cloud.check() == {}


def test_wrong_architecture(cloud):
    cloud.images[0]["imageManifests"] = [{"architecture": "arm64"}]
    assert "is for arm64" in cloud.check()["image-architecture"]


def test_disk_full(cloud):
    found = cloud.check(disk_size_gb=20)["image-unpacked"]
    assert "3.1 GB compressed, about 6.2 GB unpacked, but the workers' disks have 20 GB" in found


def test_private_registry(cloud):
    assert (
        "there is no such image" in cloud.check(sdk_container_image=f"{IMAGE}:2")["image-missing"]
    )
    assert "image-missing" in cloud.check(sdk_container_image=f"{IMAGE}@sha256:99")
    assert cloud.check(sdk_container_image=f"{IMAGE}@sha256:12") == {}


def test_network_unreachable(cloud):
    private = {"ip_configuration": "WORKER_IP_PRIVATE"}
    found = cloud.check(**private)["network-private-access"]
    assert "has Private Google Access turned off" in found
    assert "subnets update default --region europe-west4" in found
    subnetwork = "regions/europe-west4/subnetworks/private"
    assert "no such subnetwork" in cloud.check(subnetwork=subnetwork)["network-missing"]
    cloud.subnetworks["private"] = {"privateIpGoogleAccess": True}
    assert cloud.check(subnetwork=subnetwork, **private) == {}
    cloud.networks["default"] = {"autoCreateSubnetworks": False}
    assert "Add --subnetwork regions/europe-west4/" in cloud.check()["network-custom"]
    cloud.networks = {}
    assert "no such network in my-project" in cloud.check()["network-missing"]


def test_topics_and_subscriptions_are_looked_for(cloud):
    streaming = replace(
        LAUNCH,
        metadata=build_template_metadata(STREAMING),
        parameters={
            "input_subscription": "projects/my-project/subscriptions/in",
            "output_topic": "projects/my-project/topics/out",
        },
    )
    found = cloud.check(streaming)["pubsub-missing"]
    assert "gcloud pubsub topics create projects/my-project/topics/out" in found
    cloud.topics["out"] = {"name": "projects/my-project/topics/out"}
    assert "subscriptions create" in cloud.check(streaming)["pubsub-missing"]
    cloud.subscriptions["in"] = {"topic": "_deleted-topic_"}
    assert "topic was deleted" in cloud.check(streaming)["pubsub-missing"]
    cloud.subscriptions["in"] = {"topic": "projects/my-project/topics/in"}
    assert cloud.check(streaming) == {}


def test_what_cannot_be_asked_is_a_warning(cloud):
    cloud.apis.broken = {"compute.regions.get": 403}
    found = cloud.check()
    assert set(found) == {"live-unasked"}
    assert found["live-unasked"].startswith("WARNING quotas: the query failed: compute: 403")
    cloud.apis.broken = {}
    cloud.apis.slow = {"compute.regions.get"}
    found = cloud.check(timeout_sec=0.5)
    assert f"compute: no answer from {cloud.apis.endpoint} within 0.5 s" in found["live-unasked"]
    cloud.apis.slow = set()
    del cloud.quotas["NVIDIA_L4_GPUS"]
    assert "reports no quota for NVIDIA_L4_GPUS" in cloud.check()["live-unasked"]
    found = cloud.check(sdk_container_image="docker.io/me/fashion:1")
    assert Severity.WARNING in found["live-unasked"]


def test_without_a_network_every_question_is_a_warning():
    cloud = Cloud(endpoint="http://localhost:1/", timeout_sec=1)
    findings = find_live(cloud, LAUNCH)
    assert len(findings) == 8
    assert {finding.code for finding in findings} == {"live-unasked"}


def test_the_local_dataflow_is_not_asked_for_rights(project, capsys, monkeypatch):
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW", "http://localhost:9100/")
    flags = [f"--parameters={name}={value}" for name, value in project.given.items()]
    spec = str(project.root / "spec.json")
    assert main(["check", "--live", "--template-file-gcs-location", spec, *flags]) == 2
    assert "--live: queries Google Cloud, but this shell launches at http://localhost:9100/" in (
        capsys.readouterr().err
    )
