"""Check that the caller may launch the job, with testIamPermissions."""

from __future__ import annotations

from collections.abc import Iterator

from launcher.finding import PERMISSION_MISSING, Finding, error
from launcher.preflight.live.buckets import find_locations, split
from launcher.preflight.live.cloud import Cloud
from launcher.preflight.live.worker_account import find_worker_account
from launcher.preflight.subject import Launch

_PROJECT = {"dataflow.jobs.create": "roles/dataflow.developer"}
_BUCKET = {
    "storage.objects.create": "roles/storage.objectUser",
    "storage.objects.get": "roles/storage.objectViewer",
}
_ACT_AS = "iam.serviceAccounts.actAs"


def check_caller(cloud: Cloud, launch: Launch) -> Iterator[Finding]:
    """Yield the permissions that the caller lacks: in the project, on the staging bucket, and for
    letting the workers act as their service account.
    """
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
    account = find_worker_account(cloud, launch)
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


def _missing(where: str, permission: str, role: str) -> Finding:
    return error(
        PERMISSION_MISSING,
        f"{where}: you lack the permission {permission}",
        f"Request {role}, which includes it.",
    )
