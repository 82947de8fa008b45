"""Whether the caller may launch the job, and whether its workers have the roles they need.

What the caller may do is asked (testIamPermissions). For the workers' service account one can only
look at the project's policy: roles that it has through a group or on a single resource do not show.
"""

from __future__ import annotations

from collections.abc import Iterator

from launcher.preflight.finding import Finding, error, warning
from launcher.preflight.live.buckets import find_locations, split
from launcher.preflight.live.cloud import Cloud, Launch

_PROJECT = {"dataflow.jobs.create": "roles/dataflow.developer"}
_BUCKET = {
    "storage.objects.create": "roles/storage.objectUser",
    "storage.objects.get": "roles/storage.objectViewer",
}
_ACT_AS = "iam.serviceAccounts.actAs"
_WORKER = "roles/dataflow.worker"
_BASIC = frozenset({"roles/owner", "roles/editor"})


def check_caller(cloud: Cloud, launch: Launch) -> Iterator[Finding]:
    """Yield the permissions that the caller lacks in the project and on the staging bucket."""
    answer = cloud.ask(
        "cloudresourcemanager",
        lambda api: api.projects().testIamPermissions(
            resource=f"projects/{launch.project}", body={"permissions": list(_PROJECT)}
        ),
    )
    for permission in sorted(_PROJECT.keys() - set(answer.get("permissions", ()))):
        yield _missing(f"--project {launch.project}", permission, _PROJECT[permission])
    staging = find_locations(launch).get("--staging-location")
    if staging:
        bucket = split(staging)[0]
        answer = cloud.ask(
            "storage",
            lambda api: api.buckets().testIamPermissions(bucket=bucket, permissions=list(_BUCKET)),
        )
        for permission in sorted(_BUCKET.keys() - set(answer.get("permissions", ()))):
            yield _missing(f"--staging-location {staging}", permission, _BUCKET[permission])


def check_worker_account(cloud: Cloud, launch: Launch) -> Iterator[Finding]:
    """Yield what the caller may not do with the workers' account, and what that one lacks."""
    account = launch.environment.service_account_email
    if account is None:
        project = cloud.ask(
            "cloudresourcemanager",
            lambda api: api.projects().get(name=f"projects/{launch.project}"),
        )
        number = str(project.get("name", "")).rpartition("/")[2]
        account = f"{number}-compute@developer.gserviceaccount.com"
    resource = f"projects/-/serviceAccounts/{account}"
    answer = cloud.ask(
        "iam",
        lambda api: (
            api.projects()
            .serviceAccounts()
            .testIamPermissions(resource=resource, body={"permissions": [_ACT_AS]})
        ),
    )
    if _ACT_AS not in answer.get("permissions", ()):
        yield _missing(
            f"--service-account-email {account}", _ACT_AS, "roles/iam.serviceAccountUser"
        )
    policy = cloud.ask(
        "cloudresourcemanager",
        lambda api: api.projects().getIamPolicy(resource=f"projects/{launch.project}", body={}),
    )
    roles = {
        binding.get("role")
        for binding in policy.get("bindings", ())
        if f"serviceAccount:{account}" in binding.get("members", ())
    }
    if _WORKER not in roles and not roles & _BASIC:
        yield warning(
            "worker-role",
            f"--service-account-email {account}: the project's policy gives it no {_WORKER}",
            f"gcloud projects add-iam-policy-binding {launch.project} "
            f"--member serviceAccount:{account} --role {_WORKER}",
        )


def _missing(where: str, permission: str, role: str) -> Finding:
    return error(
        "permission-missing",
        f"{where}: you lack the permission {permission}",
        f"Ask for {role}, which has it.",
    )
