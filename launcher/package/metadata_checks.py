"""Checks of any template metadata, flexpack's or not.

Rules: https://cloud.google.com/dataflow/docs/guides/templates/configuring-flex-templates
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from launcher.finding import (
    METADATA_DEFAULT,
    METADATA_DUPLICATE,
    METADATA_EMPTY,
    METADATA_ENUM,
    METADATA_REGEX,
    METADATA_REGEX_ANCHOR,
    METADATA_REGEX_DIALECT,
    METADATA_RESERVED,
    METADATA_STREAMING,
    METADATA_TYPE,
    Finding,
    error,
    warning,
)
from launcher.package.egrep import EgrepError, Match, check_egrep, match_egrep
from launcher.package.metadata import ParameterMetadata, TemplateMetadata
from launcher.package.metadata_parents import check_parents
from template.parameters import did_you_mean

# Options that the service itself passes to the entry file: a parameter of that name breaks every
# launch, and another value means that the launch produces no job file.
RESERVED_OPTIONS = frozenset({"runner", "project", "job_name", "template_location", "region"})

# ParameterMetadata.paramType, discovery document dataflow v1b3 revision 20261018.
PARAM_TYPES = frozenset(
    {
        "DEFAULT",
        "TEXT",
        "GCS_READ_BUCKET",
        "GCS_WRITE_BUCKET",
        "GCS_READ_FILE",
        "GCS_WRITE_FILE",
        "GCS_READ_FOLDER",
        "GCS_WRITE_FOLDER",
        "PUBSUB_TOPIC",
        "PUBSUB_SUBSCRIPTION",
        "BIGQUERY_TABLE",
        "JAVASCRIPT_UDF_FILE",
        "SERVICE_ACCOUNT",
        "MACHINE_TYPE",
        "KMS_KEY_NAME",
        "WORKER_REGION",
        "WORKER_ZONE",
        "BOOLEAN",
        "ENUM",
        "NUMBER",
        "KAFKA_TOPIC",
        "KAFKA_READ_TOPIC",
        "KAFKA_WRITE_TOPIC",
    }
)

_STREAMING_MODES = ("UNSPECIFIED", "EXACTLY_ONCE", "AT_LEAST_ONCE")

_NOT_EGREP = re.compile(r"\\[dDsSwWbB]|\(\?(?!:)|\\[1-9]|[*+?}]\?")
_ANCHORED = re.compile(r"\^.*\$", re.DOTALL)


def check_metadata(metadata: TemplateMetadata, *, is_for_gcloud: bool = False) -> list[Finding]:
    """Return the reasons why the service, gcloud or the Console would refuse the metadata.

    Args:
        is_for_gcloud: whether gcloud will build a template from it; a spec is built already.
    """
    findings = []
    if not metadata.name:
        # Specs of 2019 have none, and can still be launched.
        found = error if is_for_gcloud else warning
        findings.append(
            found(
                METADATA_EMPTY,
                "name: empty; gcloud does not build a template from such metadata, and the Console "
                "shows one without a title",
                "Give the template a name.",
            )
        )
    names = Counter(parameter.name for parameter in metadata.parameters)
    for name, count in names.items():
        if count > 1:
            findings.append(
                error(
                    METADATA_DUPLICATE,
                    f"parameters: {name!r} is declared {count} times",
                    "Keep one of them.",
                )
            )
    findings.extend(_check_streaming(metadata))
    findings.extend(check_parents(metadata.parameters))
    for parameter in metadata.parameters:
        findings.extend(_check_parameter(parameter))
    return findings


def _check_streaming(metadata: TemplateMetadata) -> Iterator[Finding]:
    mode = metadata.default_streaming_mode
    if mode in (None, "", "UNSPECIFIED"):
        return
    if mode not in _STREAMING_MODES:
        yield error(
            METADATA_STREAMING,
            f"defaultStreamingMode {mode!r}: no such mode{did_you_mean(mode, _STREAMING_MODES)}",
            f"One of {', '.join(_STREAMING_MODES)}.",
        )
    elif not (metadata.supports_at_least_once and metadata.supports_exactly_once):
        yield warning(
            METADATA_STREAMING,
            f"defaultStreamingMode {mode!r}: counts only together with supportsAtLeastOnce and "
            "supportsExactlyOnce",
            "Set both to true, or remove defaultStreamingMode.",
        )


def _check_parameter(parameter: ParameterMetadata) -> Iterator[Finding]:
    where = f"parameter {parameter.name!r}"
    for field, text in (
        ("name", parameter.name),
        ("label", parameter.label),
        ("helpText", parameter.help_text),
    ):
        if not text:
            yield error(
                METADATA_EMPTY,
                f"{where}: {field} is empty",
                "gcloud and the Console need name, label and helpText of every parameter.",
            )
    if parameter.name in RESERVED_OPTIONS:
        yield error(
            METADATA_RESERVED,
            f"{where}: the service sets this option itself",
            "Remove the parameter; the entry file gets the option without it.",
        )
    if parameter.param_type and parameter.param_type not in PARAM_TYPES:
        yield error(
            METADATA_TYPE,
            f"{where}: paramType {parameter.param_type!r} does not exist"
            f"{did_you_mean(parameter.param_type, PARAM_TYPES)}",
            f"One of {', '.join(sorted(PARAM_TYPES))}.",
        )
    yield from _check_values(parameter, where)


def _check_values(parameter: ParameterMetadata, where: str) -> Iterator[Finding]:
    options = [option.value for option in parameter.enum_options]
    if parameter.param_type == "ENUM" and not options:
        yield error(METADATA_ENUM, f"{where}: an ENUM without enumOptions", "List its enumOptions.")
    if options and parameter.param_type != "ENUM":
        yield warning(
            METADATA_ENUM,
            f"{where}: enumOptions of a {parameter.param_type or 'TEXT'}, which the Console does "
            "not show",
            'Write "paramType": "ENUM".',
        )
    for value, count in Counter(options).items():
        if count > 1:
            yield warning(
                METADATA_ENUM,
                f"{where}: the option {value!r} is given {count} times",
                "Keep one of them.",
            )
    default = parameter.default_value
    if default is not None and options and default not in options:
        yield error(
            METADATA_DEFAULT,
            f"{where}: defaultValue {default!r} is not one of its enumOptions",
            f"One of {', '.join(options)}.",
        )
    for regex in parameter.regexes:
        try:
            check_egrep(regex)
        except EgrepError as problem:
            yield error(
                METADATA_REGEX,
                f"{where}: regex {regex!r} cannot be read: {problem}",
                "Write a POSIX-egrep regular expression.",
            )
            continue
        yield from _check_dialect(regex, where)
        # Google's templates write "" instead of omitting it.
        if default and match_egrep(regex, default) is not Match.WHOLE:
            yield error(
                METADATA_DEFAULT,
                f"{where}: defaultValue {default!r} does not match its own regex {regex!r}",
                "Change the default or the regex.",
            )


def _check_dialect(regex: str, where: str) -> Iterator[Finding]:
    """Yield the parts of a regex that the service may read differently from Python."""
    if match := _NOT_EGREP.search(regex):
        yield warning(
            METADATA_REGEX_DIALECT,
            f"{where}: regex {regex!r} has {match[0]!r}, which POSIX egrep does not support",
            "Write [0-9] for \\d and a blank for \\s; avoid lookarounds and backreferences.",
        )
    if not _ANCHORED.fullmatch(regex):
        yield warning(
            METADATA_REGEX_ANCHOR,
            f"{where}: regex {regex!r} is not anchored, and whether the whole value has to match "
            "is not documented",
            f"Write ^({regex})$.",
        )
