"""Checks of a container spec, whoever wrote it.

The JSON text is read beside the record, because what the record's schema does not know is dropped
by every reader, the service included, and the user never hears of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from launcher.errors import FormatError, InputError
from launcher.finding import SPEC_FIELD_UNKNOWN, SPEC_SDK, SPEC_SNAKE_CASE, Finding, error, warning
from launcher.google.rest import camel_case, from_rest
from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.package.metadata import (
    ParameterMetadata,
    ParameterMetadataEnumOption,
    TemplateMetadata,
)
from launcher.package.metadata_checks import check_metadata
from launcher.package.spec import ContainerSpec, SDKInfo, parse_spec, with_rest_names
from launcher.preflight.image_rules import check_image_reference
from template.parameters import did_you_mean

# Written by Google's own generator beside the documented fields; the service ignores them.
_METADATA_EXTRAS = frozenset(
    {
        "additionalDocumentation",
        "additionalHelp",
        "adminRequirements",
        "category",
        "contactInformation",
        "documentationLink",
        "flexTemplate",
        "googleReleased",
        "hidden",
        "internalName",
        "mainClass",
        "module",
        "preview",
        "requirements",
        "sourceFilePath",
        "type",
        "udfSupport",
    }
)
_SNAKE_CASE = re.compile(r"[a-z]+(_[a-z0-9]+)+")


def check_spec_text(text: str | bytes) -> list[Finding]:
    """Return what is wrong with the JSON text of a container spec.

    Raises:
        SpecError: it is not JSON, or not a container spec.
    """
    if not text:
        return []
    spec = parse_spec(text)
    document: Mapping[str, Any] = json.loads(text)
    sdk_info = document.get("sdkInfo", document.get("sdk_info"))
    environment = document.get("defaultEnvironment", document.get("default_environment"))
    return [
        *_check_fields("", document, _names(ContainerSpec)),
        *_check_fields("sdkInfo", sdk_info, _names(SDKInfo)),
        *_check_fields("defaultEnvironment", environment, _names(FlexTemplateRuntimeEnvironment)),
        *check_metadata_fields(document.get("metadata"), where="metadata"),
        *_check_spec(spec),
        *(check_metadata(spec.metadata) if spec.metadata else ()),
    ]


def check_metadata_file(path: Path) -> list[Finding]:
    """Return what is wrong with a metadata file.

    Raises:
        InputError: it cannot be read, or is not metadata.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        metadata = from_rest(TemplateMetadata, with_rest_names(document), where=path.name)
    except OSError as problem:
        raise InputError(f"--metadata-file {path}: {problem.strerror}") from problem
    except (ValueError, FormatError) as problem:
        raise InputError(f"--metadata-file {path}: {problem}") from problem
    return [*check_metadata_fields(document, where=path.name), *check_metadata(metadata)]


def check_metadata_fields(document: object, *, where: str) -> Iterator[Finding]:
    """Yield the fields of a metadata document that mean nothing to the service.

    Args:
        where: the document's name, for messages.
    """
    if not isinstance(document, Mapping):
        return
    known = _names(TemplateMetadata) | _METADATA_EXTRAS
    yield from _check_fields(where, document, known)
    for index, parameter in enumerate(document.get("parameters") or ()):
        place = f"{where}.parameters[{index}]"
        yield from _check_fields(place, parameter, _names(ParameterMetadata))
        if isinstance(parameter, Mapping):
            for number, option in enumerate(parameter.get("enumOptions") or ()):
                yield from _check_fields(
                    f"{place}.enumOptions[{number}]", option, _names(ParameterMetadataEnumOption)
                )


def _names(record: type[Any]) -> frozenset[str]:
    return frozenset(camel_case(field.name) for field in fields(record))


def _check_fields(where: str, document: object, known: Collection[str]) -> Iterator[Finding]:
    if not isinstance(document, Mapping):
        return
    for key in document:
        if key in known or key.startswith("_"):
            continue
        path = f"{where}.{key}" if where else key
        if _SNAKE_CASE.fullmatch(key) and camel_case(key) in known:
            yield warning(
                SPEC_SNAKE_CASE,
                f"{path}: the REST API writes {camel_case(key)!r}, and gcloud reads nothing else",
                f"Rename it to {camel_case(key)}.",
            )
        else:
            yield warning(
                SPEC_FIELD_UNKNOWN,
                f"{path}: no such field{did_you_mean(key, known)}",
                "Remove it, or correct its name: nobody reads it.",
            )


def _check_spec(spec: ContainerSpec) -> Iterator[Finding]:
    if spec.sdk_info.language not in ("PYTHON", "JAVA", "GO", "YAML"):
        yield error(
            SPEC_SDK,
            f"sdkInfo.language {spec.sdk_info.language!r}: not one of PYTHON, JAVA, GO, YAML",
            'For a Python pipeline: "sdkInfo": {"language": "PYTHON"}.',
        )
    yield from check_image_reference("image", spec.image)
