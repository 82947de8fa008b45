"""Check that the workers' service account has the permissions that the job needs.

Only the account itself can test its permissions. The caller can read the policies of the project,
buckets, repository, subscriptions and topics, and the permissions of the roles in them. Permissions
granted through a group, a folder or an organisation are not visible there, so a finding is a
WARNING.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from launcher.finding import WORKER_PERMISSION, WORKER_ROLE, Finding, warning
from launcher.image_reference import ImageReference, find_repository
from launcher.preflight.live.buckets import find_locations, split
from launcher.preflight.live.cloud import Cloud, Missing, Unanswered, unasked
from launcher.preflight.subject import Launch

_WORKER = "roles/dataflow.worker"
# A policy can refer to everyone with one of these roles: "projectEditor:my-project".
_BASIC = {
    "roles/owner": "projectOwner",
    "roles/editor": "projectEditor",
    "roles/viewer": "projectViewer",
}
_ANYBODY = frozenset({"allUsers", "allAuthenticatedUsers"})
_READ = {"storage.objects.get": "roles/storage.objectViewer"}
_WRITE = {
    "storage.objects.create": "roles/storage.objectUser",
    "storage.objects.get": "roles/storage.objectUser",
}
_WRITE_TYPES = ("GCS_WRITE_FILE", "GCS_WRITE_FOLDER", "GCS_WRITE_BUCKET")


@dataclass(frozen=True, kw_only=True)
class _Resource:
    """A resource that the workers use.

    Attributes:
        where: the flag that names it.
        api: the API that holds its policy.
        policy: the request for it.
        needed: permissions, each with a role that holds it.
        grant: the gcloud command that adds a role, without member and role.
    """

    where: str
    api: str
    policy: Callable[[Any], Any]
    needed: Mapping[str, str]
    grant: str


def find_worker_account(cloud: Cloud, launch: Launch) -> str:
    """Return the email of the workers' service account; without one, Compute Engine's default."""
    if launch.environment.service_account_email:
        return launch.environment.service_account_email
    project = cloud.ask(
        "cloudresourcemanager",
        lambda api: api.projects().get(name=f"projects/{launch.project}"),
    )
    number = str(project.get("name", "")).rpartition("/")[2]
    return f"{number}-compute@developer.gserviceaccount.com"


def check_worker_account(cloud: Cloud, launch: Launch) -> Iterator[Finding]:
    """Yield the permissions that the workers' service account lacks."""
    account = find_worker_account(cloud, launch)
    where = f"--service-account-email {account}"
    policy = cloud.ask(
        "cloudresourcemanager",
        lambda api: api.projects().getIamPolicy(resource=f"projects/{launch.project}", body={}),
    )
    member = f"serviceAccount:{account}"
    roles = _find_roles(policy, {member})
    if _WORKER not in roles and not roles & {"roles/owner", "roles/editor"}:
        yield warning(
            WORKER_ROLE,
            f"{where}: the project's policy does not give it {_WORKER}",
            f"gcloud projects add-iam-policy-binding {launch.project} "
            f"--member {member} --role {_WORKER}",
        )
    members = {member, *_ANYBODY}
    members |= {f"{_BASIC[role]}:{launch.project}" for role in roles & _BASIC.keys()}
    held = _Permissions(cloud)
    for resource in _find_resources(launch):
        try:
            own = _find_roles(cloud.ask(resource.api, resource.policy), members)
            lacking = resource.needed.keys() - held.of(roles | own)
        except Unanswered as problem:
            yield unasked(f"the workers' permissions, {resource.where}", problem)
            continue
        except Missing:
            continue  # another check reports it
        for permission in sorted(lacking):
            yield warning(
                WORKER_PERMISSION,
                f"{resource.where}: neither its policy nor the project's gives {account} the "
                f"permission {permission}",
                f"{resource.grant} --member {member} --role {resource.needed[permission]}",
            )


class _Permissions:
    """The permissions of roles, each read once."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._known: dict[str, frozenset[str]] = {}

    def of(self, roles: set[str]) -> set[str]:
        return {permission for role in roles for permission in self._ask(role)}

    def _ask(self, role: str) -> frozenset[str]:
        if role not in self._known:
            try:
                answer = self._cloud.ask("iam", lambda api: _get_role(api, role))
            except Missing:
                answer = {}  # deleted
            self._known[role] = frozenset(answer.get("includedPermissions", ()))
        return self._known[role]


def _get_role(api: Any, role: str) -> Any:
    """Return the request for a role of Google, a project or an organisation."""
    owner = role.partition("/")[0]
    collection = api.roles() if owner == "roles" else getattr(api, owner)().roles()
    return collection.get(name=role)


def _find_roles(policy: Mapping[str, Any], members: set[str]) -> set[str]:
    return {
        str(binding.get("role"))
        for binding in policy.get("bindings", ())
        if members.intersection(binding.get("members", ()))
    }


def _find_resources(launch: Launch) -> Iterator[_Resource]:
    yield from _find_buckets(launch)
    image = ImageReference.parse(launch.environment.sdk_container_image or launch.image)
    if found := find_repository(image):
        repository, _ = found
        yield _Resource(
            where=f"--sdk-container-image {image.name}",
            api="artifactregistry",
            policy=lambda api: (
                api.projects().locations().repositories().getIamPolicy(resource=repository.resource)
            ),
            needed={
                "artifactregistry.repositories.downloadArtifacts": "roles/artifactregistry.reader"
            },
            grant=f"gcloud artifacts repositories add-iam-policy-binding {repository.name} "
            f"--project {repository.project} --location {repository.location}",
        )
    for name, path in launch.find_parameters("PUBSUB_SUBSCRIPTION").items():
        yield _Resource(
            where=f"--parameters {name}={path}",
            api="pubsub",
            policy=partial(_ask_of_subscription, path=path),
            needed={"pubsub.subscriptions.consume": "roles/pubsub.subscriber"},
            grant=f"gcloud pubsub subscriptions add-iam-policy-binding {path}",
        )
    for name, path in launch.find_parameters("PUBSUB_TOPIC").items():
        yield _Resource(
            where=f"--parameters {name}={path}",
            api="pubsub",
            policy=partial(_ask_of_topic, path=path),
            needed={"pubsub.topics.publish": "roles/pubsub.publisher"},
            grant=f"gcloud pubsub topics add-iam-policy-binding {path}",
        )


def _find_buckets(launch: Launch) -> Iterator[_Resource]:
    """Yield each bucket once, for writing if the job writes to it."""
    written = {f"--parameters {name}" for name in launch.find_parameters(*_WRITE_TYPES)}
    written |= {"--staging-location", "--temp-location"}
    locations = find_locations(launch)
    seen: set[str] = set()
    for flag in sorted(locations, key=lambda flag: flag not in written):
        bucket = split(locations[flag])[0]
        if bucket in seen:
            continue
        seen.add(bucket)
        yield _Resource(
            where=f"{flag} {locations[flag]}",
            api="storage",
            policy=partial(_ask_of_bucket, bucket=bucket),
            needed=_WRITE if flag in written else _READ,
            grant=f"gcloud storage buckets add-iam-policy-binding gs://{bucket}",
        )


def _ask_of_bucket(api: Any, bucket: str) -> Any:
    return api.buckets().getIamPolicy(bucket=bucket)


def _ask_of_subscription(api: Any, path: str) -> Any:
    return api.projects().subscriptions().getIamPolicy(resource=path)


def _ask_of_topic(api: Any, path: str) -> Any:
    return api.projects().topics().getIamPolicy(resource=path)
