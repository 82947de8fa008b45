"""Checks of when the Console shows a parameter: parents, what triggers their children, and groups.

https://cloud.google.com/dataflow/docs/reference/rest/v1b3/ParameterMetadata
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from launcher.finding import (
    METADATA_CHILD,
    METADATA_GROUP,
    METADATA_PARENT,
    Finding,
    error,
    hint,
    warning,
)
from launcher.package.metadata import ParameterMetadata
from template.parameters import did_you_mean


def check_parents(parameters: Sequence[ParameterMetadata]) -> Iterator[Finding]:
    """Yield parents that never show their children, and what a parent makes ineffective."""
    named = {parameter.name: parameter for parameter in parameters}
    for parameter in parameters:
        where = f"parameter {parameter.name!r}"
        if not parameter.parent_name:
            if parameter.parent_trigger_values:
                yield warning(
                    METADATA_GROUP,
                    f"{where}: parentTriggerValues without a parentName has no effect",
                    "Name the parent, or remove them.",
                )
            continue
        parent = named.get(parameter.parent_name)
        if parent is None:
            yield error(
                METADATA_PARENT,
                f"{where}: parentName {parameter.parent_name!r} is not a parameter of the template"
                f"{did_you_mean(parameter.parent_name, list(named))}",
                "Name a declared parameter, or remove parentName.",
            )
            continue
        yield from _check_circle(parameter, named, where)
        yield from _check_triggers(parameter, parent, where)
        if not parameter.is_optional:
            yield warning(
                METADATA_CHILD,
                f"{where}: required, and the Console shows it only for some values of "
                f"{parent.name!r}; the service always requires it",
                'Add "isOptional": true, and check it in the entry file.',
            )
        if parameter.group_name:
            yield hint(
                METADATA_GROUP,
                f"{where}: groupName {parameter.group_name!r} is ignored if there is a parentName",
                "Give the group to the parent.",
            )


def _check_circle(
    parameter: ParameterMetadata, named: dict[str, ParameterMetadata], where: str
) -> Iterator[Finding]:
    """Yield a problem for each parameter that is its own ancestor."""
    path = [parameter.name]
    above = named.get(parameter.parent_name or "")
    while above is not None and above.name not in path:
        path.append(above.name)
        above = named.get(above.parent_name or "")
    if above is not None and above.name == parameter.name:
        problem = "itself" if len(path) == 1 else f"in a circle: {' > '.join([*path, path[0]])}"
        yield error(
            METADATA_PARENT,
            f"{where}: its parent is {problem}, so the Console never shows it",
            "Remove parentName.",
        )


def _check_triggers(
    parameter: ParameterMetadata, parent: ParameterMetadata, where: str
) -> Iterator[Finding]:
    options = [option.value for option in parent.enum_options]
    if parent.param_type == "BOOLEAN":
        options = ["true", "false"]
    if not options:
        return
    for value in parameter.parent_trigger_values:
        if value not in options:
            yield error(
                METADATA_PARENT,
                f"{where}: is shown for the value {value!r} of {parent.name!r}, which is not one "
                f"of its options{did_you_mean(value, options)}",
                f"One of {', '.join(options)}.",
            )
