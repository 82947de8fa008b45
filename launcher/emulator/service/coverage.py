"""Computes the part of Google's APIs that the local Dataflow covers, from the discovery documents
and the tables of implemented calls. ``flexpack metadata``
writes it into launcher/emulator/README.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from launcher.emulator.runtime.launch import NO_FLAG
from launcher.emulator.service.discovery import (
    HONOURED_SYSTEM_PARAMETERS,
    Discovery,
    load_discovery,
)
from launcher.emulator.service.operations import OPERATIONS
from launcher.emulator.storage.app import IMPLEMENTED
from launcher.emulator.storage.calls import HARMLESS
from launcher.emulator.storage.methods import MethodTable

_REGION = "locations."
_EXPANDED = ("LaunchFlexTemplateParameter", "ContainerSpec", "FlexTemplateRuntimeEnvironment")
_MOST_NAMES = 20


def build_coverage() -> str:
    """Return the section, in Markdown."""
    return "\n".join([*_dataflow_lines(load_discovery()), "", *_storage_lines(MethodTable())])


def find_ignored(discovery: Discovery, method_id: str) -> list[str]:
    """Return the parameters and fields that an implemented method accepts without effect."""
    operation = OPERATIONS[method_id]
    method = discovery.methods[method_id]
    ignored = set(method.query) - operation.query
    if method.request is not None and operation.body is not None:
        honoured = operation.body
        ignored |= {
            path
            for path in _field_paths(discovery, method.request, "")
            if not any(f"{path}.".startswith(f"{name}.") for name in honoured)
            or path.rpartition(".")[2] in NO_FLAG
        }
        # In a map, such as launchOptions, single keys may be honoured.
        keys = {name.rpartition(".")[0]: name.rpartition(".")[2] for name in honoured}
        ignored = {f"{path} other than {keys[path]}" if path in keys else path for path in ignored}
    return sorted(ignored - operation.refused)


def _field_paths(discovery: Discovery, message: str, prefix: str) -> Iterator[str]:
    for name, schema in discovery.messages.fields(message).items():
        # The spec's default environment is honoured like the launch's own.
        if schema.get("$ref") in _EXPANDED and name != "defaultEnvironment":
            yield from _field_paths(discovery, schema["$ref"], f"{prefix}{name}.")
        else:
            yield prefix + name


def _dataflow_lines(discovery: Discovery) -> Iterator[str]:
    yield (
        f"Dataflow v1b3, as its discovery document of {discovery.revision} has it: "
        f"{len(OPERATIONS)} of {len(discovery.methods)} methods."
    )
    yield ""
    yield "| method | accepted without effect | answers 501 when set |"
    yield "|---|---|---|"
    for name, method_ids in _without_twins(OPERATIONS).items():
        ignored = find_ignored(discovery, method_ids[0])
        body = OPERATIONS[method_ids[0]].body
        if len(ignored) > _MOST_NAMES and body is not None:
            shown = f"all but {_code(sorted(body))}"
        else:
            shown = _code(path.removeprefix("launchParameter.") for path in ignored)
        yield f"| `{name}` | {shown} | {_code(sorted(OPERATIONS[method_ids[0]].refused))} |"
    yield ""
    ignored = sorted(discovery.system_parameters - HONOURED_SYSTEM_PARAMETERS)
    yield f"These parameters, which every method accepts, have no effect: {_code(ignored)}."
    missing = _without_twins(sorted(discovery.methods.keys() - OPERATIONS.keys()))
    yield f"All other methods answer 501: {_code(missing)}."


def _storage_lines(table: MethodTable) -> Iterator[str]:
    names = sorted(name.removeprefix("storage.") for name in IMPLEMENTED)
    yield (
        f"Cloud Storage JSON v1: {len(names)} of {len(table.ids)} methods, {_code(names)}. All "
        "other methods answer 501, and so do parameters that a method does not honour, except "
        f"for {_code(sorted(HARMLESS))}, which have no effect."
    )


def _without_twins(method_ids: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """Return ids by short name; a method that exists with and without a region has one name."""
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    for method_id in method_ids:
        short = method_id.removeprefix("dataflow.").removeprefix("projects.")
        by_name[short.removeprefix(_REGION)].append(method_id)
    names = {}
    for name, found in by_name.items():
        regional = [method_id for method_id in found if f".{_REGION}{name}" in method_id]
        prefix = f"[{_REGION}]" if len(found) > 1 else _REGION * len(regional)
        names[prefix + name] = found
    return names


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
