"""All checks, in one table, and the function that runs them.

To add a check, write a function that yields findings, in the module of its noun, add the codes of
its findings to ``launcher.finding``, and add a row here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from launcher.finding import IMAGE_REGISTRY, Depth, Finding
from launcher.preflight import objects
from launcher.preflight.accelerator import check_accelerator, find_accelerator
from launcher.preflight.checkpoint import check_checkpoint, check_model_size
from launcher.preflight.dockerfile import check_dockerfile
from launcher.preflight.entry_file import check_entry_file
from launcher.preflight.environment import check_environment, check_workers_image
from launcher.preflight.image_rules import Role
from launcher.preflight.live.buckets import check_buckets, check_objects, check_outputs
from launcher.preflight.live.cloud import Cloud, Missing, Unanswered, unasked
from launcher.preflight.live.image import check_image
from launcher.preflight.live.network import check_network
from launcher.preflight.live.permissions import check_caller
from launcher.preflight.live.pubsub import check_pubsub
from launcher.preflight.live.quotas import check_quotas
from launcher.preflight.live.services import check_services
from launcher.preflight.live.worker_account import check_worker_account
from launcher.preflight.locks import check_lock
from launcher.preflight.options import check_pipeline_options
from launcher.preflight.parameters import check_parameters
from launcher.preflight.spec import check_metadata_file, check_spec_text
from launcher.preflight.subject import Launch, Project, Subject

Findings = Iterable[Finding]


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        noun: what it looks at, for messages.
        depth: how deep it looks.
        find: the check; yields nothing if its subject is absent.
    """

    noun: str
    depth: Depth
    find: Callable[[Subject, Cloud | None], Findings]


def run_checks(subject: Subject, cloud: Cloud | None = None) -> Iterator[Finding]:
    """Yield all problems of a subject. Blocks; a query to the project takes seconds.

    Args:
        cloud: what the live checks query; None skips them.

    Raises:
        InputError: a named file does not exist.
        SpecError: the spec is not a container spec.
    """
    for check in CHECKS:
        try:
            for finding in check.find(subject, cloud):
                # The local Dataflow does not pull images; images.toml says what each one stands
                # for.
                if not (subject.is_on_local_dataflow and finding.code == IMAGE_REGISTRY.name):
                    yield finding
        except (Unanswered, Missing) as problem:
            yield unasked(check.noun, problem)


def _static(noun: str, find: Callable[[Subject], Findings]) -> Check:
    return Check(noun, Depth.STATIC, lambda subject, _: find(subject))


def _project(noun: str, find: Callable[[Project], Findings]) -> Check:
    return _static(noun, lambda subject: find(subject.project) if subject.project else ())


def _launch(noun: str, find: Callable[[Launch, Subject], Findings]) -> Check:
    return _static(noun, lambda subject: find(subject.launch, subject) if subject.launch else ())


def _live(noun: str, find: Callable[[Cloud, Launch], Findings]) -> Check:
    return Check(
        noun,
        Depth.LIVE,
        lambda subject, cloud: find(cloud, subject.launch) if cloud and subject.launch else (),
    )


def _check_dockerfile(subject: Subject) -> Findings:
    project, launch = subject.project, subject.launch
    if project is None or project.dockerfile is None:
        return ()
    role = project.role
    if role is None and launch and launch.environment.sdk_container_image == launch.image:
        role = Role.BOTH
    return check_dockerfile(project.dockerfile, project.locks, role)


def _check_locks(project: Project) -> Findings:
    return (finding for lock in project.locks for finding in check_lock(lock))


def _check_entry_file(project: Project) -> Findings:
    files = project.files
    return check_entry_file(files.entry_file, root=files.root) if files.entry_file else ()


def _check_metadata(project: Project) -> Findings:
    return (found for path in project.files.metadata for found in check_metadata_file(path))


def _check_parameters(launch: Launch, _: Subject) -> Findings:
    if launch.metadata is None:
        return ()
    return check_parameters(launch.metadata, launch.parameters, launch.own_environment)


def _check_environment(launch: Launch, _: Subject) -> Findings:
    return check_environment(
        launch.environment, launch.parameters, region=launch.region, job_name=launch.job_name
    )


def _check_accelerator(launch: Launch, subject: Subject) -> Findings:
    return check_accelerator(
        launch.environment,
        launch.parameters,
        torch_build=subject.project.torch_build if subject.project else None,
        default=launch.template_environment,
    )


def _check_workers_image(launch: Launch, _: Subject) -> Findings:
    if launch.language != "PYTHON":
        return ()
    return check_workers_image(launch.environment, launch.parameters, image=launch.image)


def _check_options(launch: Launch, subject: Subject) -> Findings:
    if launch.language != "PYTHON":
        return ()
    declared = [item.name for item in launch.metadata.parameters] if launch.metadata else []
    options = launch.environment.additional_pipeline_options
    return check_pipeline_options(
        options, declared, python=subject.tools.python, root=subject.tools.root
    )


def _check_objects(launch: Launch, subject: Subject) -> Findings:
    return objects.check_objects(launch) if subject.asks_storage else ()


def _check_local_pubsub(launch: Launch, subject: Subject) -> Findings:
    if not subject.pubsub_emulator:
        return ()
    pubsub = Cloud(endpoint=f"http://{subject.pubsub_emulator}/", is_of_one_api=True)
    return check_pubsub(pubsub, launch)


def _check_checkpoint(subject: Subject) -> Findings:
    if subject.checkpoint is None:
        return
    launch = subject.launch
    model_class = launch.find_value("model_class") if launch else subject.model_class
    declared = launch.metadata.parameters if launch and launch.metadata else ()
    if model_class is None and any(each.name == "model_class" for each in declared):
        model_class = ""
    checkpoint = yield from check_checkpoint(
        subject.checkpoint,
        model_class,
        launch.parameters if launch else {},
        python=subject.tools.python,
        root=subject.tools.root,
    )
    if checkpoint and launch:
        accelerator = find_accelerator(launch.environment, launch.parameters)
        yield from check_model_size(checkpoint, accelerator, launch.environment)


CHECKS = (
    _static("the Dockerfile", _check_dockerfile),
    _project("locks", _check_locks),
    _project("the entry file", _check_entry_file),
    _project("metadata files", _check_metadata),
    _static("the spec", lambda subject: check_spec_text(subject.spec_text or b"")),
    _launch("parameters", _check_parameters),
    _launch("the environment", _check_environment),
    _launch("the accelerator", _check_accelerator),
    _launch("the workers' image", _check_workers_image),
    _launch("pipeline options", _check_options),
    _launch("objects to read", _check_objects),
    _launch("the local Pub/Sub", _check_local_pubsub),
    _static("the checkpoint", _check_checkpoint),
    _live("APIs", check_services),
    _live("buckets", check_buckets),
    _live("objects", check_objects),
    _live("outputs", check_outputs),
    _live("image", check_image),
    _live("your permissions", check_caller),
    _live("the workers' service account", check_worker_account),
    _live("quotas", check_quotas),
    _live("network", check_network),
    _live("Pub/Sub", check_pubsub),
)
