"""Template metadata: the form of the Cloud Console, and the rules for launches.

The records mirror ``TemplateMetadata`` and ``ParameterMetadata`` of the Dataflow REST API:
https://cloud.google.com/dataflow/docs/reference/rest/v1b3/TemplateMetadata
They follow from the declarations in ``template.parameters``, as do the files and the tables of
parameters in the documents that this module writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from launcher.errors import InputError, StaleFiles
from launcher.google.rest import to_rest
from template.parameters import TEMPLATES, Parameter, Template

DOCUMENTS = (
    "README.md",
    "template/README.md",
    "template/recipes.md",
    "launcher/README.md",
    "launcher/emulator/README.md",
    "docker/README.md",
    "metadata/README.md",
    "tests/README.md",
)
"""The documents that may have generated parts; not every project has all of them."""

_EXAMPLE = "Example: "
_NO_SECTIONS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class ParameterMetadataEnumOption:
    """One choice of an ENUM parameter."""

    value: str
    label: str | None = None
    description: str | None = None


@dataclass(frozen=True, kw_only=True)
class ParameterMetadata:
    """One parameter of a template. Whatever is not ``is_optional`` must be given."""

    name: str
    label: str = ""
    help_text: str = ""
    is_optional: bool | None = None
    regexes: tuple[str, ...] = ()
    param_type: str | None = None
    custom_metadata: Mapping[str, str] = field(default_factory=dict)
    group_name: str | None = None
    parent_name: str | None = None
    parent_trigger_values: tuple[str, ...] = ()
    enum_options: tuple[ParameterMetadataEnumOption, ...] = ()
    default_value: str | None = None
    hidden_ui: bool | None = None


@dataclass(frozen=True, kw_only=True)
class TemplateMetadata:
    """A template, as the Console shows and the service validates it."""

    name: str = ""
    description: str | None = None
    parameters: tuple[ParameterMetadata, ...] = ()
    streaming: bool | None = None
    supports_at_least_once: bool | None = None
    supports_exactly_once: bool | None = None
    default_streaming_mode: str | None = None
    yaml_definition: str | None = None


def build_template_metadata(template: Template) -> TemplateMetadata:
    """Return the metadata of a template."""
    return TemplateMetadata(
        name=template.title,
        description=template.description,
        parameters=tuple(_build_parameter(parameter) for parameter in template.parameters),
        streaming=template.streaming,
        supports_at_least_once=template.supports_at_least_once,
        supports_exactly_once=template.supports_exactly_once,
        default_streaming_mode=template.default_streaming_mode,
    )


def build_example_parameters(template: Template, *, bucket: str, project: str) -> dict[str, str]:
    """Return a value for every required parameter: a place in the user's bucket or project.

    That of a model's own parameter is the example in its help.
    """
    places = {
        "input": f"gs://{bucket}/in/*",
        "output": f"gs://{bucket}/out/first",
        "model_path": f"gs://{bucket}/model.pth",
        "input_subscription": f"projects/{project}/subscriptions/rows",
        "output_topic": f"projects/{project}/topics/predictions",
    }
    return {
        each.name: places.get(each.name)
        or each.help_text.partition(_EXAMPLE)[2]
        or each.name.upper()
        for each in template.parameters
        if not each.is_optional
    }


def find_template(name: str) -> Template:
    """Return the template with this name.

    Raises:
        InputError: there is none.
    """
    for template in TEMPLATES:
        if template.name == name:
            return template
    names = ", ".join(template.name for template in TEMPLATES)
    raise InputError(f"--template {name!r}: no such template; there is {names}")


def format_json(json_object: Mapping[str, object]) -> str:
    """Return JSON text in the layout that gcloud writes."""
    return json.dumps(json_object, sort_keys=True, indent=4, separators=(",", ": "))


def find_metadata_folder(root: Path) -> Path:
    """Return the folder of the metadata files.

    Raises:
        InputError: there is none.
    """
    folder = root / "metadata"
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder; run this in the project's root, or name it with "
            "--project-root"
        )
    return folder


def write_metadata(root: Path, sections: Mapping[str, str] = _NO_SECTIONS) -> list[Path]:
    """Write ``metadata/*.json`` and the documents' generated parts; return the files that changed.

    Args:
        root: the project's root folder.
        sections: further parts of the documents besides the parameter tables, by the name of
            their marks: ``<!-- name -->`` and ``<!-- /name -->``.
    """
    changed = []
    for path, text in _build_files(root, sections).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def check_metadata_files(root: Path, sections: Mapping[str, str] = _NO_SECTIONS) -> None:
    """Compare ``metadata/*.json`` and the documents' generated parts with the code.

    Args:
        root, sections: as for ``write_metadata``.

    Raises:
        StaleFiles: some differ; the message names them.
    """
    stale = [
        path.relative_to(root)
        for path, text in _build_files(root, sections).items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if stale:
        raise StaleFiles(f"{', '.join(map(str, stale))}: out of date; run 'flexpack metadata'")


def _build_parameter(parameter: Parameter) -> ParameterMetadata:
    return ParameterMetadata(
        name=parameter.name,
        label=parameter.label,
        help_text=parameter.help_text,
        is_optional=parameter.is_optional or None,
        regexes=(parameter.regex,) if parameter.regex else (),
        param_type=parameter.param_type.value,
        group_name=parameter.group,
        enum_options=tuple(
            ParameterMetadataEnumOption(
                value=option.value, label=option.label, description=option.description
            )
            for option in parameter.enum_options
        ),
        default_value=None if parameter.default is None else str(parameter.default),
    )


def _build_files(root: Path, sections: Mapping[str, str]) -> dict[Path, str]:
    folder = find_metadata_folder(root)
    files = {
        folder / f"{template.name}.json": format_json(to_rest(build_template_metadata(template)))
        + "\n"
        for template in TEMPLATES
    }
    tables = {
        f"parameters:{template.name}": "\n".join(_table_lines(template.parameters))
        for template in TEMPLATES
    }
    parts = {"parameters": "\n".join(_short_table_lines()), **tables, **sections}
    for document in map(root.joinpath, DOCUMENTS):
        if document.exists():
            text = document.read_text(encoding="utf-8")
            for name, part in parts.items():
                text = _replace_section(text, name, part)
            files[document] = text
    return files


def _replace_section(text: str, name: str, section: str) -> str:
    begin = f"<!-- {name} -->"
    end = f"<!-- /{name} -->"
    before, begin_found, rest = text.partition(begin)
    _, end_found, after = rest.partition(end)
    if not begin_found or not end_found:
        return text
    return f"{before}{begin}\n{section}\n{end}{after}"


def _short_table_lines() -> Iterable[str]:
    """Yield a table of the required parameters, and the names of the others."""
    yield "| parameter | template | meaning |"
    yield "|---|---|---|"
    takes: dict[Parameter, str] = {}
    for template in TEMPLATES:
        for parameter in template.parameters:
            takes[parameter] = "both" if parameter in takes else template.name
    for parameter, name in takes.items():
        if not parameter.is_optional:
            meaning = re.split(r"(?<=[.:;]) ", parameter.help_text)[0].rstrip(".:;")
            yield _row((f"`{parameter.name}`", name, meaning))
    for name in dict.fromkeys(takes.values()):
        found = [each for each in takes if each.is_optional and takes[each] == name]
        names = [f"`{each.name}`" for each in found]
        labels = [_start_small(each.label) for each in found]
        yield _row((", ".join(names), name, f"optional: {', '.join(labels)}"))


def _start_small(label: str) -> str:
    """Return a label as it stands within a sentence."""
    return label if label[:2].isupper() else label[0].lower() + label[1:]


def _default(parameter: Parameter) -> str:
    if parameter.default is not None:
        return f"`{parameter.default}`"
    return "none" if parameter.is_optional else "**required**"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _table_lines(parameters: Iterable[Parameter]) -> Iterable[str]:
    yield "| parameter | type | default | meaning |"
    yield "|---|---|---|---|"
    for parameter in parameters:
        values = " ".join(f"`{option.value}`" for option in parameter.enum_options)
        cells = (
            f"`{parameter.name}`",
            values or parameter.param_type.value,
            _default(parameter),
            parameter.help_text,
        )
        yield _row(cells)
