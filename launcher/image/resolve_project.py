"""Makes the lock of a user's project, without the packages that the image already has."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from launcher.errors import ImageError, InputError
from launcher.image.flavours import Flavour
from launcher.image.locks import (
    parse_requirements,
    read_lines,
    read_lock,
    read_pins,
    read_requirement_lines,
)
from launcher.image.project_locks import (
    check_conflicts,
    format_problems,
    format_project_lock,
    read_kit_pins,
    read_project_requirements,
)
from launcher.image.projects import Project
from launcher.image.resolve import (
    LockResult,
    check_companions,
    explain_missing_build,
    find_warnings,
    write_if_changed,
)
from launcher.image.tools import ToolError
from launcher.image.uv import (
    ONLY_WHEELS,
    PROJECT_PLATFORM,
    Resolver,
    build_uv_environ,
    drop_other_builds,
    format_constraints,
    split_pins,
)


def write_project_lock(
    kit: Path, project: Project, flavour: Flavour, *, environ: Mapping[str, str] = os.environ
) -> LockResult:
    """Lock a project's requirements. Blocks, for seconds; reads the package indexes.

    A pin stays as it is as long as the requirements allow; delete the lock to get the newest
    versions.

    Args:
        kit: the folder with the image's own locks.

    Raises:
        InputError: the requirements do not exist, or contradict the image's own packages.
        ImageError: they cannot be resolved.
    """
    if not project.requirements.exists():
        raise InputError(
            f"{project.requirements}: no such file; name in it what your packages import, such as "
            "scikit-learn>=1.5"
        )
    lines = read_project_requirements(project)
    kit_pins = read_pins(read_lock(kit, flavour))
    if conflicts := list(check_conflicts(project, read_kit_pins(kit, flavour))):
        raise InputError(format_problems(conflicts))
    known = "\n".join([*read_lines(project.lock), ""]) if project.lock.exists() else ""
    before = read_pins(known)
    with tempfile.TemporaryDirectory() as directory:
        uv_environ = build_uv_environ(flavour, environ, wheels=[project.wheels])
        resolver = Resolver(Path(directory), uv_environ, project.folder, PROJECT_PLATFORM)
        try:
            pins = resolver.resolve(
                project.requirements,
                format_constraints(kit_pins),
                known=drop_other_builds(known, flavour),
                # What the image's own packages are built from.
                flags=[line for line in read_requirement_lines(kit) if line.startswith("-")],
            )
        except ToolError as error:
            if problem := explain_missing_build(flavour, error):
                return LockResult(flavour, project.lock, before, {}, problem=problem)
            raise ImageError(
                f"{project.requirements}: cannot be installed together with the packages of "
                f"flexpack's image ({flavour.lock_folder}): {error}"
            ) from error
        text = "".join(block for name, block in split_pins(pins) if name not in kit_pins)
        after = read_pins(text)
        check_companions(project.lock, flavour, after)
        options = [ONLY_WHEELS, *(line for line in lines if line.startswith("-"))]
        changed = write_if_changed(project.lock, format_project_lock(text, lines, options))
        # In a new lock everything is new, so only the project's own requirements are worth a
        # warning.
        named = {name: after[name] for name in parse_requirements(lines) if name in after}
        warnings = find_warnings(project.lock, resolver, before, after if before else named)
    return LockResult(flavour, project.lock, before, after, changed=changed, warnings=warnings)
