"""Checks of launch parameters against the template's metadata, before anything is sent.

The same rules as the service's, which refuses unknown, missing and mismatching parameters, and
parameters that repeat the environment; and the enum options, which only the entry file would
refuse, minutes later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from launcher.finding import (
    PARAMETER_ENUM,
    PARAMETER_LOCAL_PATH,
    PARAMETER_MISSING,
    PARAMETER_REGEX,
    PARAMETER_REGEX_UNREADABLE,
    PARAMETER_TWICE,
    PARAMETER_UNKNOWN,
    Finding,
    error,
    warning,
)
from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.launch.options import EnvironmentOptions, list_options
from launcher.package.egrep import EgrepError, Match, match_egrep
from launcher.package.metadata import ParameterMetadata, TemplateMetadata
from template.parameters import did_you_mean

# Pipeline options that the service takes as parameters although no metadata declares them, as seen
# in Google's samples and templates (2026), each with the environment's field for the same thing.
RUNTIME_PARAMETERS: Mapping[str, str | None] = {
    "autoscaling_algorithm": "autoscaling_algorithm",
    "enable_launcher_vm_serial_port_logging": "enable_launcher_vm_serial_port_logging",
    "enable_streaming_engine": "enable_streaming_engine",
    "machine_type": "machine_type",
    "max_num_workers": "max_workers",
    "num_workers": "num_workers",
    "number_of_worker_harness_threads": None,
    "sdk_container_image": "sdk_container_image",
    "sdk_location": None,
    "staging_location": "staging_location",
    "temp_location": "temp_location",
}

_WRITTEN_TYPES = frozenset({"GCS_WRITE_FILE", "GCS_WRITE_FOLDER"})

# What users try as parameters, and the flag that does it.
_FLAGS = {
    name: declared.flag
    for declared in list_options(EnvironmentOptions)
    for name in (declared.name, *declared.option.beam_names)
}


def check_parameters(
    metadata: TemplateMetadata,
    parameters: Mapping[str, str],
    environment: FlexTemplateRuntimeEnvironment | None = None,
) -> list[Finding]:
    """Return everything that is wrong with the parameters of a launch, all at once.

    Args:
        environment: the request's own environment, where known.
    """
    declared = {parameter.name: parameter for parameter in metadata.parameters}
    findings = [
        finding
        for parameter in metadata.parameters
        if parameter.name not in parameters and _is_required(parameter, parameters)
        for finding in (_missing(parameter, parameters),)
    ]
    for name, value in parameters.items():
        if name in declared:
            findings.extend(_check_value(declared[name], value))
        elif name not in RUNTIME_PARAMETERS:
            findings.append(_unknown(name, list(declared)))
        elif environment is not None:
            findings.extend(_check_not_twice(name, environment))
    return findings


def _is_required(parameter: ParameterMetadata, parameters: Mapping[str, str]) -> bool:
    if parameter.is_optional:
        return False
    if parameter.parent_name is None:
        return True
    # Whether the service asks for a parameter that its parent has not triggered is not documented:
    # leave that to the service.
    parent = parameters.get(parameter.parent_name, "")
    triggers = parameter.parent_trigger_values
    return parent in triggers if triggers else bool(parent)


def _missing(parameter: ParameterMetadata, parameters: Mapping[str, str]) -> Finding:
    remedy = f"Give --parameters {parameter.name}=VALUE. {parameter.help_text}"
    for name, value in parameters.items():
        if f",{parameter.name}=" in value:
            remedy = (
                f"It stands in the value of {name}: repeat the flag for each parameter, "
                f"--parameters {name}=VALUE --parameters {parameter.name}=VALUE."
            )
    return error(PARAMETER_MISSING, f"--parameters {parameter.name}: missing", remedy)


def _unknown(name: str, declared: list[str]) -> Finding:
    message = f"--parameters {name}: the template has no such parameter"
    if name in _FLAGS:
        return error(PARAMETER_UNKNOWN, message, f"Use the flag {_FLAGS[name]} instead.")
    return error(
        PARAMETER_UNKNOWN,
        f"{message}{did_you_mean(name, declared)}",
        f"It takes {', '.join(declared) or 'no parameters'}.",
    )


def _check_value(parameter: ParameterMetadata, value: str) -> Iterator[Finding]:
    given = f"--parameters {parameter.name}={value}"
    if parameter.param_type in _WRITTEN_TYPES and value and not value.startswith("gs://"):
        yield warning(
            PARAMETER_LOCAL_PATH,
            f"{given}: not in Cloud Storage; each worker writes to its own disk, and that is lost "
            "with the worker",
            "Give gs://BUCKET/PATH, unless the workers share this file system.",
        )
    options = [option.value for option in parameter.enum_options]
    if options and value not in options:
        yield error(
            PARAMETER_ENUM,
            f"{given}: none of the template's options",
            f"One of {', '.join(options)}.",
        )
    for regex in parameter.regexes:
        try:
            match = match_egrep(regex, value)
        except EgrepError as problem:
            yield warning(
                PARAMETER_REGEX_UNREADABLE,
                f"{given}: not checked, the template's regex {regex!r} cannot be read: {problem}",
                "The service will check it; its regular expressions are of another kind.",
            )
            continue
        if match is not Match.WHOLE:
            # UNCONFIRMED: that the service requires the whole value to match. It is not documented,
            # and a value that matches in part may be refused after the launch.
            in_part = match is Match.PART
            yield error(
                PARAMETER_REGEX,
                f"{given}: {'only a part of it matches' if in_part else 'does not match'} {regex}",
                parameter.help_text or "Change the value.",
            )


def _check_not_twice(name: str, environment: FlexTemplateRuntimeEnvironment) -> Iterator[Finding]:
    field = RUNTIME_PARAMETERS[name]
    if field is not None and getattr(environment, field) is not None:
        yield error(
            PARAMETER_TWICE,
            f"--parameters {name}: given as a parameter and as the environment's {field} too",
            "The service takes it in one place only: drop the parameter.",
        )
