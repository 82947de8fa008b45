"""The launch request, built from a ``LaunchConfig``.

``build_launch_request`` is pure; ``--dry-run`` shows its result, and ``launcher.jobs.dataflow``
sends. The records mirror ``LaunchFlexTemplateRequest``:
https://cloud.google.com/dataflow/docs/reference/rest/v1b3/projects.locations.flexTemplates/launch
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from launcher.accelerators.catalogue import encode_resource_hint
from launcher.errors import InputError
from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.google.storage import GCS_OBJECT
from launcher.launch.environment import (
    build_environment,
    find_option_problems,
)
from launcher.launch.options import LaunchConfig
from launcher.package.spec import ContainerSpec

# The label by which a client finds its own job after the answer to a launch was lost.
LAUNCH_ID_LABEL = "flexpack-launch-id"

# The parameter of the kit's templates that gives only the prediction step a GPU.
HINT_PARAMETER = "prediction_accelerator"

# Job.name of the REST API. Many tools refuse more than 63; launcher.preflight warns.
_JOB_NAME = re.compile(r"[a-z]([-a-z0-9]{0,1022}[a-z0-9])?")
_LAUNCH_ID = re.compile(r"[-_a-z0-9]{1,63}")


@dataclass(frozen=True, kw_only=True)
class LaunchFlexTemplateParameter:
    """What to launch."""

    job_name: str
    container_spec_gcs_path: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    environment: FlexTemplateRuntimeEnvironment = field(
        default_factory=FlexTemplateRuntimeEnvironment
    )
    launch_options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LaunchFlexTemplateRequest:
    """The body of ``projects.locations.flexTemplates.launch``."""

    launch_parameter: LaunchFlexTemplateParameter

    def environment_over(self, spec: ContainerSpec) -> FlexTemplateRuntimeEnvironment:
        """Return the job's environment: the request's over the template's."""
        return self.launch_parameter.environment.over(spec.default_environment)


def build_launch_request(
    config: LaunchConfig, spec: ContainerSpec | None = None
) -> LaunchFlexTemplateRequest:
    """Return the launch request of a configuration.

    Args:
        spec: the template, if it could be read; its settings are not repeated.

    Raises:
        InputError: options are wrong; the message names each of them.
    """
    if problems := [*_find_launch_problems(config), *find_option_problems(config)]:
        raise InputError("\n".join(problems))
    environment = build_environment(
        config,
        base=spec.default_environment if spec else None,
        image=spec.image if spec else None,
        on_all_workers=not config.right_fitting,
    )
    parameters = dict(config.parameters)
    if config.right_fitting and config.accelerator:
        parameters[HINT_PARAMETER] = encode_resource_hint(config.accelerator)
    launch_options = {}
    if config.launch_timeout_sec is not None:
        # Known from the Terraform provider (GoogleCloudPlatform/magic-modules pull 9720).
        launch_options["ft_launch_timeout_secs"] = str(config.launch_timeout_sec)
    return LaunchFlexTemplateRequest(
        launch_parameter=LaunchFlexTemplateParameter(
            job_name=config.job_name,
            container_spec_gcs_path=config.template_file_gcs_location,
            parameters=parameters,
            environment=replace(
                environment,
                additional_user_labels={
                    **environment.additional_user_labels,
                    LAUNCH_ID_LABEL: config.launch_id,
                },
            ),
            launch_options=launch_options,
        )
    )


def _find_launch_problems(config: LaunchConfig) -> Iterator[str]:
    if not _JOB_NAME.fullmatch(config.job_name):
        legal = re.sub(r"[^a-z0-9]+", "-", config.job_name.lower()).lstrip("-0123456789")
        legal = legal[:63].strip("-")
        hint = f"; for example {legal!r}" if legal else ""
        yield (
            f"JOB_NAME {config.job_name!r}: lower-case letters, digits and '-' only, at most 1024, "
            f"beginning with a letter and ending with a letter or digit{hint}"
        )
    if not GCS_OBJECT.fullmatch(config.template_file_gcs_location):
        yield (
            f"--template-file-gcs-location {config.template_file_gcs_location!r}: expected the "
            "spec's path, gs://BUCKET/PATH.json, as 'flexpack build' printed it"
        )
    for flag, value, hint in (
        ("--project", config.project, "the id of the Google Cloud project"),
        ("--region", config.region, "for example us-central1"),
    ):
        if not value:
            yield f"{flag} '': empty; give {hint}"
    parameters: Mapping[str, object] = config.parameters  # Python lets other values through
    for name, given in parameters.items():
        if not isinstance(given, str):
            yield f"parameters[{name!r}] {given!r}: expected a text, for example {str(given)!r}"
    if config.right_fitting and not config.accelerator:
        yield "--right-fitting: needs --accelerator, the GPU of the prediction step"
    if config.right_fitting and HINT_PARAMETER in config.parameters:
        yield f"--right-fitting and --parameters {HINT_PARAMETER}: the same thing twice"
    if not _LAUNCH_ID.fullmatch(config.launch_id):
        yield (
            f"launch_id {config.launch_id!r}: lower-case letters, digits, '-' and '_' only, at "
            "most 63, because it travels as a label"
        )
