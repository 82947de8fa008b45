"""Checks of any container spec, flexpack's or not.

The JSON text is read as well as the record, because every reader, the service included, silently
drops fields that the schema does not have.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from launcher.finding import (
    FILE_ENCODING,
    METADATA_UNREADABLE,
    METADATA_WRAPPED,
    SPEC_FIELD_UNKNOWN,
    SPEC_SDK,
    SPEC_SNAKE_CASE,
    SPEC_TYPE,
    Finding,
    error,
    warning,
)
from launcher.google.json_text import read_json
from launcher.google.rest import camel_case, from_rest
from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.package.metadata import (
    ParameterMetadata,
    ParameterMetadataEnumOption,
    TemplateMetadata,
)
from launcher.package.metadata_checks import check_metadata
from launcher.package.spec import ContainerSpec, SDKInfo, read_spec_document, with_rest_names
from launcher.preflight.image_rules import check_image_reference
from launcher.preflight.json_types import sort_types
from launcher.preflight.text_file import read_text
from template.parameters import did_you_mean

# Written by Google's own generator in addition to the documented fields; the service ignores them.
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
_ENCODINGS = {"utf-8-sig": "UTF-8 with a byte order mark"}
_SNAKE_CASE = re.compile(r"[a-z]+(_[a-z0-9]+)+")


def check_spec_text(text: str | bytes) -> list[Finding]:
    """Return the problems of a container spec's JSON text.

    Raises:
        SpecError: it is not JSON, or not a container spec.
    """
    if not text:
        return []
    document = read_spec_document(text)
    types = sort_types(ContainerSpec, with_rest_names(document), where="")
    sdk_info = document.get("sdkInfo", document.get("sdk_info"))
    environment = document.get("defaultEnvironment", document.get("default_environment"))
    findings = [
        *_check_types(types.wrong),
        *_check_fields("", document, _names(ContainerSpec)),
        *_check_fields("sdkInfo", sdk_info, _names(SDKInfo)),
        *_check_fields("defaultEnvironment", environment, _names(FlexTemplateRuntimeEnvironment)),
        *check_metadata_fields(document.get("metadata"), where="metadata"),
    ]
    if isinstance(types.document.get("image"), str):
        findings += check_image_reference("image", types.document["image"])
    if "sdkInfo" in types.document:
        findings += _check_language(str(types.document["sdkInfo"].get("language")))
    if "metadata" in types.document:
        findings += check_metadata(from_rest(TemplateMetadata, types.document["metadata"]))
    return findings


def check_metadata_file(path: Path) -> list[Finding]:
    """Return the problems of a metadata file.

    Raises:
        InputError: it cannot be read.
    """
    text = read_text(path, "--metadata-file")
    findings: list[Finding] = []
    if text.encoding != "utf-8":
        findings.append(
            error(
                FILE_ENCODING,
                f"{path}: written in {_ENCODINGS.get(text.encoding, text.encoding)}; gcloud reads "
                "only UTF-8 without a byte order mark",
                "Save it as UTF-8.",
            )
        )
    try:
        document = read_json(text.content.removeprefix("\ufeff"))
    except ValueError as problem:
        return [*findings, _unreadable(path, f"not JSON: {problem}")]
    if not isinstance(document, dict):
        return [*findings, _unreadable(path, f"expected an object, got {document!r:.80}")]
    if "image" in document and "parameters" not in document:
        return [*findings, *check_spec_text(text.content.removeprefix("\ufeff"))]
    if isinstance(document.get("metadata"), dict) and "parameters" not in document:
        findings.append(
            error(
                METADATA_WRAPPED,
                f'{path}: the metadata is nested in {{"metadata": ...}}, where gcloud does not '
                "look for it",
                "Keep name, description and parameters, and remove the object around them.",
            )
        )
        document = document["metadata"]
    types = sort_types(TemplateMetadata, with_rest_names(document), where=path.name)
    return [
        *findings,
        *_check_types(types.wrong),
        *check_metadata_fields(document, where=path.name),
        *check_metadata(from_rest(TemplateMetadata, types.document), is_for_gcloud=True),
    ]


def _unreadable(path: Path, problem: str) -> Finding:
    return error(
        METADATA_UNREADABLE,
        f"{path}: {problem}",
        "Correct the file; metadata is a JSON object with name, description and parameters.",
    )


def _check_types(wrong: Sequence[str]) -> Iterator[Finding]:
    for problem in wrong:
        yield error(SPEC_TYPE, problem, "Correct the value; the service and gcloud refuse it.")


def check_metadata_fields(document: object, *, where: str) -> Iterator[Finding]:
    """Yield the fields of a metadata document that the service does not know.

    Args:
        where: the document's name, for messages.
    """
    if not isinstance(document, Mapping):
        return
    known = _names(TemplateMetadata) | _METADATA_EXTRAS
    yield from _check_fields(where, document, known)
    for index, parameter in enumerate(_list(document, "parameters")):
        place = f"{where}.parameters[{index}]"
        yield from _check_fields(place, parameter, _names(ParameterMetadata))
        if isinstance(parameter, Mapping):
            for number, option in enumerate(_list(parameter, "enumOptions")):
                yield from _check_fields(
                    f"{place}.enumOptions[{number}]", option, _names(ParameterMetadataEnumOption)
                )


def _list(document: Mapping[str, Any], name: str) -> list[Any]:
    value = document.get(name)
    return value if isinstance(value, list) else []


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
                f"{path}: the REST API writes {camel_case(key)!r}, and gcloud does not read any "
                "other spelling",
                f"Rename it to {camel_case(key)}.",
            )
        else:
            yield warning(
                SPEC_FIELD_UNKNOWN,
                f"{path}: no such field{did_you_mean(key, known)}",
                "Remove it, or correct its name, because no program reads it.",
            )


def _check_language(language: str) -> Iterator[Finding]:
    if language not in ("PYTHON", "JAVA", "GO", "YAML"):
        yield error(
            SPEC_SDK,
            f"sdkInfo.language {language!r}: not one of PYTHON, JAVA, GO, YAML",
            'For a Python pipeline: "sdkInfo": {"language": "PYTHON"}.',
        )
