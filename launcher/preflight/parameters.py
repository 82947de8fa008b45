"""Checks of launch parameters against the template's metadata, before anything is sent.

It applies the service's rules, which refuse unknown, missing and mismatching parameters,
and parameters that repeat the environment. It also checks enum options, which otherwise only
the entry file would refuse, minutes later.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Container, Iterator, Mapping, Sequence

from launcher.finding import (
    PARAMETER_COMMA,
    PARAMETER_ENUM,
    PARAMETER_LOCAL_PATH,
    PARAMETER_MISSING,
    PARAMETER_REGEX,
    PARAMETER_REGEX_UNREADABLE,
    PARAMETER_RUNTIME,
    PARAMETER_TWICE,
    PARAMETER_UNKNOWN,
    Finding,
    error,
    hint,
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

# Names that users try as parameters, and the flags that they mean.
_FLAGS = {
    name: declared.flag
    for declared in list_options(EnvironmentOptions)
    for name in (declared.name, *declared.option.beam_names)
} | {"project": "--project", "region": "--region", "job_name": "the job's name, JOB_NAME,"}
_STREAMING = (
    "A template streams if its pipeline does: its code sets StandardOptions.streaming, and its "
    'metadata says "streaming": true.'
)
_NEXT_PARAMETER = re.compile(r",\s*(?:--)?([A-Za-z_][\w-]*)=")


def check_parameters(
    metadata: TemplateMetadata,
    parameters: Mapping[str, str],
    environment: FlexTemplateRuntimeEnvironment | None = None,
) -> list[Finding]:
    """Return all problems of a launch's parameters at once.

    Args:
        environment: the request's own environment, if known.
    """
    declared = {parameter.name: parameter for parameter in metadata.parameters}
    findings: list[Finding] = []
    joined: set[str] = set()
    for name, value in parameters.items():
        parts = _split_joined(name, value, declared)
        joined.update(part for part, _ in parts[1:])
        findings += _check_joined(parts, f"{name}={value}")
    findings += [
        _missing(parameter)
        for parameter in metadata.parameters
        if parameter.name not in parameters and _is_required(parameter, parameters)
        if parameter.name not in joined
    ]
    for name, value in parameters.items():
        if name not in declared and name not in RUNTIME_PARAMETERS:
            findings.append(_unknown(name, list(declared)))
            continue
        if name in declared:
            findings.extend(_check_value(declared[name], value))
        twice = [] if name in declared or not environment else [*_check_twice(name, environment)]
        findings.extend(twice or _check_runtime(name, value))
    return findings


def _is_required(parameter: ParameterMetadata, parameters: Mapping[str, str]) -> bool:
    if parameter.is_optional:
        return False
    if parameter.parent_name is None:
        return True
    # It is not documented whether the service requires a parameter that its parent has not
    # triggered,
    # so leave that to the service.
    parent = parameters.get(parameter.parent_name, "")
    triggers = parameter.parent_trigger_values
    return parent in triggers if triggers else bool(parent)


def _check_joined(parts: Sequence[tuple[str, str]], given: str) -> Iterator[Finding]:
    if len(parts) > 1:
        names = ", ".join(repr(name) for name, _ in parts[1:])
        are = "is a separate parameter" if len(parts) == 2 else "are separate parameters"
        flags = (shlex.join(["--parameters", f"{name}={value}"]) for name, value in parts)
        yield error(
            PARAMETER_COMMA,
            f"--parameters {given}: {names} {are}, and a comma is part of the value",
            f"Repeat the flag: {' '.join(flags)}",
        )


def _split_joined(name: str, value: str, declared: Container[str]) -> list[tuple[str, str]]:
    """Return a parameter and those after commas in its value, each with its own value."""
    parts, start = [], 0
    for match in _NEXT_PARAMETER.finditer(value):
        if match[1] in declared or find_flag(match[1]) is not None:
            parts.append((name, value[start : match.start()]))
            name, start = match[1], match.end()
    return [*parts, (name, value[start:])]


def find_flag(name: str) -> str | None:
    """Return the flag that users meant by a parameter, also in camelCase."""
    return _FLAGS.get(_snake_case(name))


def _snake_case(name: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.removeprefix("--"))
    return words.replace("-", "_").lower()


def _check_runtime(name: str, value: str) -> Iterator[Finding]:
    """Yield a finding if a parameter that the service accepts has its own flag."""
    flag = find_flag(name)
    if flag:
        yield hint(
            PARAMETER_RUNTIME,
            f"--parameters {name}={value}: a job option, which {flag} also sets; flexpack checks "
            "and verifies only the flag",
            f"Use {flag}.",
        )
    elif _snake_case(name) == "streaming":
        yield hint(PARAMETER_RUNTIME, f"--parameters {name}={value}: a Beam option", _STREAMING)


def _missing(parameter: ParameterMetadata) -> Finding:
    return error(
        PARAMETER_MISSING,
        f"--parameters {parameter.name}: missing",
        f"Give --parameters {parameter.name}=VALUE. {parameter.help_text}",
    )


def _unknown(name: str, declared: list[str]) -> Finding:
    message = f"--parameters {name}: the template has no such parameter"
    if flag := find_flag(name):
        return error(PARAMETER_UNKNOWN, message, f"Use the flag {flag} instead.")
    if _snake_case(name) == "streaming":
        return error(PARAMETER_UNKNOWN, message, _STREAMING)
    if _snake_case(name) in declared:
        near = _snake_case(name)
        return error(PARAMETER_UNKNOWN, f"{message}; did you mean {near!r}?", f"Write {near}.")
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
            f"{given}: not in Cloud Storage; each worker writes to its own disk, which is lost "
            "with the worker",
            "Give gs://BUCKET/PATH, unless the workers share this file system.",
        )
    options = [option.value for option in parameter.enum_options]
    if options and value not in options:
        yield error(
            PARAMETER_ENUM,
            f"{given}: not one of the template's options",
            f"One of {', '.join(options)}.",
        )
        return
    for regex in parameter.regexes:
        try:
            match = match_egrep(regex, value)
        except EgrepError as problem:
            yield warning(
                PARAMETER_REGEX_UNREADABLE,
                f"{given}: not checked, because the template's regex {regex!r} cannot be read: "
                f"{problem}",
                "The service will check it with its own kind of regular expressions.",
            )
            continue
        if match is not Match.WHOLE:
            # UNCONFIRMED: that the service requires the whole value to match. It is not documented,
            # and a value that matches only in part may be refused after the launch.
            in_part = match is Match.PART
            yield error(
                PARAMETER_REGEX,
                f"{given}: {'only part of it matches' if in_part else 'does not match'} {regex}",
                parameter.help_text or "Change the value.",
            )


def _check_twice(name: str, environment: FlexTemplateRuntimeEnvironment) -> Iterator[Finding]:
    field = RUNTIME_PARAMETERS[name]
    if field is not None and getattr(environment, field) is not None:
        yield error(
            PARAMETER_TWICE,
            f"--parameters {name}: given both as a parameter and as the environment's {field}",
            "The service accepts it in one place only: remove the parameter.",
        )
