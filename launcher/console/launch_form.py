"""The launch form that a template's metadata describes, as the Cloud Console renders it.

Google documents the following of a parameter: its label and help, a header for its group, its
parent and the parent's values that show the child, options of an enumeration, a value that is
filled in, a type that selects the input, and ``hiddenUi``, which hides it. ``SILENT`` lists what is
not documented, and what this form does instead.
https://cloud.google.com/dataflow/docs/reference/rest/v1b3/ParameterMetadata
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from launcher.package.metadata import ParameterMetadata, TemplateMetadata

SILENT = (
    "the order of groups and fields: here the metadata's order, with fields without a group first",
    "where optional fields are: here among the required ones, which are marked",
    "whether a value that does not fit its type or its enumeration is refused: here only a "
    "regex can refuse it, as in the service",
    "whether a required child is required while its parent hides it: here the service decides, "
    "and it requires it",
    "whether a prefilled value that was not changed is sent: here it is",
    "the group of a child: here the child appears below its parent",
)


class Kind(StrEnum):
    """What a field looks like."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ENUM = "enum"
    BROWSE = "browse"


class Picker(StrEnum):
    """What a field's picker lists."""

    BUCKET = "bucket"
    FILE = "file"
    FOLDER = "folder"
    TOPIC = "topic"
    SUBSCRIPTION = "subscription"
    TABLE = "table"


_PICKERS: Mapping[str, Picker] = {
    "GCS_READ_BUCKET": Picker.BUCKET,
    "GCS_WRITE_BUCKET": Picker.BUCKET,
    "GCS_READ_FILE": Picker.FILE,
    "GCS_WRITE_FILE": Picker.FILE,
    "GCS_READ_FOLDER": Picker.FOLDER,
    "GCS_WRITE_FOLDER": Picker.FOLDER,
    "JAVASCRIPT_UDF_FILE": Picker.FILE,
    "PUBSUB_TOPIC": Picker.TOPIC,
    "PUBSUB_SUBSCRIPTION": Picker.SUBSCRIPTION,
    "BIGQUERY_TABLE": Picker.TABLE,
}
_HINTS: Mapping[str, str] = {
    "SERVICE_ACCOUNT": "a service account; there are none locally",
    "MACHINE_TYPE": "a machine type, for example n1-standard-4",
    "KMS_KEY_NAME": "a Cloud KMS key; there are none locally",
    "WORKER_REGION": "a region, for example us-central1",
    "WORKER_ZONE": "a zone, for example us-central1-a",
    "KAFKA_TOPIC": "a Kafka topic; there is no Kafka locally",
    "KAFKA_READ_TOPIC": "a Kafka topic; there is no Kafka locally",
    "KAFKA_WRITE_TOPIC": "a Kafka topic; there is no Kafka locally",
}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One option of an enumeration."""

    value: str
    label: str
    description: str


@dataclass(frozen=True, kw_only=True)
class Field:
    """One input.

    Attributes:
        id: of its element, unique on the page.
        name: of the parameter.
        value: what is filled in.
        hint: what the Cloud Console's picker would list, if this form has no picker for it.
        parent: the id of the field that shows this one; if None, it is always shown.
        triggers: values of the parent, as a JSON list; an empty one stands for any value.
        children: fields below it.
    """

    id: str
    name: str
    label: str
    help_text: str
    kind: Kind
    is_required: bool
    value: str
    picker: Picker | None
    hint: str
    choices: tuple[Choice, ...]
    regexes: tuple[str, ...]
    parent: str | None
    triggers: str
    children: tuple[Field, ...]

    def walk(self) -> Iterator[Field]:
        """Yield the field and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, kw_only=True)
class Group:
    """Fields under a header, which is shown exactly as given; "" shows none."""

    title: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form; ``hidden`` are the parameters that it must not show."""

    groups: tuple[Group, ...]
    hidden: tuple[str, ...]

    @property
    def fields(self) -> tuple[Field, ...]:
        """All fields, the children too."""
        return tuple(
            each for group in self.groups for field in group.fields for each in field.walk()
        )

    def read_shown(self) -> dict[str, str]:
        """Return the values of the fields that are shown and have one, by parameter."""
        values: dict[str, str] = {}

        def read(field: Field) -> None:
            if field.value:
                values[field.name] = field.value
            for child in field.children:
                triggers = json.loads(child.triggers)
                if field.value in triggers or (field.value and not triggers):
                    read(child)

        for group in self.groups:
            for field in group.fields:
                read(field)
        return values


def build_form(metadata: TemplateMetadata, given: Mapping[str, str]) -> Form:
    """Return the form of a template.

    Args:
        given: values that are filled in instead of the metadata's defaults.
    """
    shown = [each for each in metadata.parameters if not each.hidden_ui]
    names = {each.name for each in shown}
    ids = {each.name: f"f{number}" for number, each in enumerate(metadata.parameters)}
    children: dict[str, list[ParameterMetadata]] = {}
    roots = []
    for each in shown:
        if each.parent_name in names and not _is_below_itself(each, shown):
            children.setdefault(str(each.parent_name), []).append(each)
        else:
            roots.append(each)

    def build(parameter: ParameterMetadata, parent: str | None) -> Field:
        identifier = ids[parameter.name]
        below = children.get(parameter.name, ())
        return _build_field(
            parameter,
            identifier=identifier,
            value=given.get(parameter.name, parameter.default_value or ""),
            parent=parent,
            children=tuple(build(child, identifier) for child in below),
        )

    titles = dict.fromkeys(["", *(each.group_name or "" for each in roots)])
    groups = (
        Group(
            title=title,
            fields=tuple(build(each, None) for each in roots if (each.group_name or "") == title),
        )
        for title in titles
    )
    return Form(
        groups=tuple(group for group in groups if group.fields),
        hidden=tuple(each.name for each in metadata.parameters if each.hidden_ui),
    )


def _is_below_itself(parameter: ParameterMetadata, all_shown: Iterable[ParameterMetadata]) -> bool:
    parents = {each.name: each.parent_name for each in all_shown}
    seen = {parameter.name}
    above = parameter.parent_name
    while above in parents:
        if above in seen:
            return True
        seen.add(above)
        above = parents[above]
    return False


def _build_field(
    parameter: ParameterMetadata,
    *,
    identifier: str,
    value: str,
    parent: str | None,
    children: tuple[Field, ...],
) -> Field:
    param_type = parameter.param_type or "DEFAULT"
    choices = tuple(
        Choice(
            value=option.value,
            label=option.label or option.value,
            description=option.description or "",
        )
        for option in parameter.enum_options
    )
    if choices:
        kind = Kind.ENUM
    elif param_type == "BOOLEAN":
        kind = Kind.BOOLEAN
    elif param_type == "NUMBER":
        kind = Kind.NUMBER
    elif param_type in _PICKERS:
        kind = Kind.BROWSE
    else:
        kind = Kind.TEXT
    return Field(
        id=identifier,
        name=parameter.name,
        label=parameter.label or parameter.name,
        help_text=parameter.help_text or "",
        kind=kind,
        is_required=not parameter.is_optional,
        value=value,
        picker=_PICKERS.get(param_type),
        hint=_HINTS.get(param_type, ""),
        choices=choices,
        regexes=parameter.regexes,
        parent=parent,
        triggers=json.dumps(parameter.parent_trigger_values),
        children=children,
    )
