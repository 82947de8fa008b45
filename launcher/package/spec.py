"""The container spec: the JSON object in Cloud Storage that *is* a Flex Template.

Mirrors ``ContainerSpec`` of the Dataflow REST API:
https://cloud.google.com/dataflow/docs/reference/rest/v1b3/projects.locations.flexTemplates/launch
Its text equals what ``gcloud dataflow flex-template build --print-only`` writes for the same image
and metadata, except that it keeps the metadata fields that gcloud drops.
``launcher.package.spec_storage`` stores it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from launcher.errors import FormatError, SpecError
from launcher.finding import format_findings, select_errors
from launcher.google.json_text import read_json
from launcher.google.rest import camel_case, from_rest, to_rest
from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.google.storage import TEMPLATE_FLAG
from launcher.package.metadata import TemplateMetadata, format_json
from launcher.package.metadata_checks import check_metadata

_MAPS = frozenset({"additionalUserLabels", "customMetadata"})


@dataclass(frozen=True, kw_only=True)
class SDKInfo:
    """The Beam SDK of the template."""

    language: str
    version: str | None = None


@dataclass(frozen=True, kw_only=True)
class ContainerSpec:
    """A Flex Template: the image, its parameters, and its default environment."""

    image: str
    sdk_info: SDKInfo
    metadata: TemplateMetadata | None = None
    default_environment: FlexTemplateRuntimeEnvironment = field(
        default_factory=FlexTemplateRuntimeEnvironment
    )
    image_repository_username_secret_id: str | None = None
    image_repository_password_secret_id: str | None = None
    image_repository_cert_path: str | None = None


def build_container_spec(
    *,
    image: str,
    metadata: TemplateMetadata,
    default_environment: FlexTemplateRuntimeEnvironment | None = None,
) -> ContainerSpec:
    """Return the spec of a Python template.

    Workers run the template's own image unless ``default_environment`` says otherwise; without
    that, they would run Beam's stock image, which has neither torch nor the model.

    Raises:
        SpecError: the image is not a reference, or the metadata is wrong; the message names
            everything.
    """
    if not image or any(character.isspace() for character in image):
        raise SpecError(
            f"--image {image!r}: expected the image's reference, REGISTRY/NAME[:TAG][@DIGEST]"
        )
    if errors := select_errors(check_metadata(metadata)):
        raise SpecError(f"metadata of {metadata.name!r}:\n{format_findings(errors)}")
    environment = default_environment or FlexTemplateRuntimeEnvironment()
    return ContainerSpec(
        image=image,
        sdk_info=SDKInfo(language="PYTHON"),
        metadata=metadata,
        default_environment=replace(
            environment, sdk_container_image=environment.sdk_container_image or image
        ),
    )


def format_spec(spec: ContainerSpec) -> str:
    """Return the spec's JSON text, byte for byte in gcloud's layout."""
    return format_json(to_rest(spec))


def parse_spec(text: str | bytes) -> ContainerSpec:
    """Return the spec that a JSON text holds, flexpack's or not.

    Raises:
        SpecError: it is not JSON, or not a container spec.
    """
    try:
        return from_rest(ContainerSpec, with_rest_names(read_spec_document(text)))
    except FormatError as error:
        raise SpecError(f"not a Flex Template's container spec: {error}") from error


def read_spec_document(text: str | bytes) -> dict[str, Any]:
    """Return the JSON object of a spec, in which a value may have any type.

    Raises:
        SpecError: it is not JSON, or names no image.
    """
    try:
        json_object = read_json(text)
    except ValueError as error:
        raise SpecError(f"not JSON: {error}") from error
    if not isinstance(json_object, dict) or "image" not in json_object:
        raise SpecError(
            "not a Flex Template's container spec: it names no image. 'flexpack build' writes one"
        )
    return json_object


def read_spec(text: str | bytes, location: str, *, flag: str = TEMPLATE_FLAG) -> ContainerSpec:
    """Return the spec that a file holds.

    Args:
        flag: where the file was named, for messages.

    Raises:
        SpecError: it does not hold a spec; the message names the file.
    """
    try:
        return parse_spec(text)
    except SpecError as error:
        raise SpecError(
            f"{flag} {location}: no container spec, as 'flexpack build' writes it: {error}"
        ) from error


def with_rest_names(document: Any) -> Any:
    """Return a spec or its metadata with the REST API's names for fields in snake_case.

    Such files exist, even from Google, because the JSON of protocol buffers allows both spellings.
    The keys of labels and other maps are data and stay.
    """
    if isinstance(document, list):
        return [with_rest_names(item) for item in document]
    if not isinstance(document, Mapping):
        return document
    return {
        camel_case(key): value if camel_case(key) in _MAPS else with_rest_names(value)
        for key, value in document.items()
    }
