"""Makes the image's own lock files from ``docker/requirements.in``, split into layers."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

from launcher.errors import ImageError, InputError
from launcher.image.flavours import TORCH_COMPANIONS, Flavour, default_flavour, find_flavour
from launcher.image.locks import (
    LAYERS,
    REQUIREMENTS,
    TORCH_LAYER,
    explain_index,
    find_lock_paths,
    format_lock,
    parse_requirements,
    read_lock,
    read_pins,
    read_requirement_lines,
    select_requirements,
)
from launcher.image.tools import ToolError
from launcher.image.uv import (
    ONLY_WHEELS,
    Resolver,
    build_uv_environ,
    drop_other_builds,
    format_constraints,
    split_pins,
)

# Packages of the user's own, which the build sees too.
WHEELS = Path("docker") / "wheels"

# Packages that template/ imports, and those that build Beam's one source package. With everything
# that they need, they are the part of an image that users share.
TEMPLATE_PACKAGES = (
    *("apache-beam", "torch", "pandas", "numpy", "pyarrow", "pillow", "orjson", "simplejpeg"),
    "setuptools",
)


@dataclass(frozen=True)
class LockResult:
    """The outcome of making a lock.

    Attributes:
        flavour: the lock's.
        place: the lock's file or folder.
        before: the earlier pins, by name; empty for a new lock.
        after: the new pins.
        warnings: possible mistakes of the user.
        problem: why the lock was not changed.
    """

    flavour: Flavour
    place: Path
    before: Mapping[str, str]
    after: Mapping[str, str]
    changed: bool = False
    warnings: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def changes(self) -> list[str]:
        """One line for each package that was added, removed, or has another version."""
        lines = []
        for name in sorted(self.before.keys() | self.after.keys()):
            old, new = self.before.get(name), self.after.get(name)
            if old is None:
                lines.append(f"+ {name} {new}")
            elif new is None:
                lines.append(f"- {name} {old}")
            elif old != new:
                lines.append(f"  {name} {old} -> {new}")
        return lines


def write_locks(
    root: Path, flavours: Sequence[Flavour], *, environ: Mapping[str, str] = os.environ
) -> list[LockResult]:
    """Make new locks. Blocks, for seconds each; reads the package indexes.

    A pin stays as it is as long as the requirements allow; delete the files to get the newest
    versions. A flavour without a lock starts from the pins of the default one.

    Raises:
        InputError: the requirements do not exist.
        ImageError: they cannot be resolved.
    """
    lines = read_requirement_lines(root)
    parse_requirements(lines)
    return [_write_lock(root, flavour, lines, environ) for flavour in flavours]


def _write_lock(
    root: Path, flavour: Flavour, lines: list[str], environ: Mapping[str, str]
) -> LockResult:
    place = flavour.lock_folder
    before = _read_known(root, flavour)
    with tempfile.TemporaryDirectory() as directory:
        uv_environ = build_uv_environ(flavour, environ, wheels=[root / WHEELS])
        resolver = Resolver(Path(directory), uv_environ, root)
        own = select_requirements(lines, flavour)
        requirements = Path(directory) / REQUIREMENTS.name
        requirements.write_text("".join(f"{line}\n" for line in own))
        try:
            pins = resolver.resolve(
                requirements,
                f"torch=={flavour.torch_version}\n" if flavour.torch_version else "",
                known=drop_other_builds(
                    before or _read_known(root, find_flavour(default_flavour())), flavour
                ),
            )
            shared = _find_shared(resolver, Path(directory), own, pins)
        except ToolError as error:
            if problem := explain_missing_build(flavour, error):
                return LockResult(flavour, place, read_pins(before), {}, problem=problem)
            raise ImageError(f"{place}: {error}") from error
        after = read_pins(pins)
        _check_torch(flavour, after)
        check_companions(place, flavour, after)
        changed = False
        for layer, body in _split(pins, shared, _find_sources(lines)).items():
            text = format_lock(layer, body, lines)
            changed |= write_if_changed(root / find_lock_paths(flavour)[layer], text)
        old = read_pins(before)
        warnings = find_warnings(place, resolver, old, after) if old else ()
    return LockResult(flavour, place, old, after, changed=changed, warnings=warnings)


def _find_shared(resolver: Resolver, folder: Path, lines: list[str], pins: str) -> frozenset[str]:
    """Return the names of the template's own packages and of everything that they need."""
    requirements = parse_requirements(lines)
    named = [str(requirements[name]) for name in TEMPLATE_PACKAGES if name in requirements]
    options = [line for line in lines if line.startswith("-")]
    own = folder / "own.in"
    own.write_text("\n".join([*options, *named]) + "\n")
    known = format_constraints(read_pins(pins))
    return frozenset(read_pins(resolver.resolve(own, known, only_names=True)))


def _read_known(root: Path, flavour: Flavour) -> str:
    try:
        return read_lock(root, flavour)
    except InputError:
        return ""


def _check_torch(flavour: Flavour, pins: Mapping[str, str]) -> None:
    """Refuse another flavour's torch.

    Raises:
        ImageError: it is.
    """
    found = pins.get("torch")
    if flavour.torch_version is None and found:
        raise ImageError(
            f"{flavour.lock_folder}: something in {REQUIREMENTS} needs torch {found}, which the "
            f"flavour {flavour.name} does not hold; name it in the requirements.in of the project "
            "that imports it (--code)"
        )
    if found != flavour.torch_version:
        # A configured index or folder has its own build, which pip and uv prefer.
        raise ImageError(
            f"{flavour.lock_folder}: resolved to torch {found} instead of "
            f"{flavour.torch_version}; make this lock without UV_FIND_LINKS and UV_INDEX"
        )


def check_companions(place: Path, flavour: Flavour, pins: Mapping[str, str]) -> None:
    """Refuse packages that were built for another flavour of torch.

    Raises:
        ImageError: there is one.
    """
    for name in TORCH_COMPANIONS:
        if name in pins and not flavour.has_build(pins[name]):
            raise ImageError(
                f"{place}: resolved to {name} {pins[name]}, which is not built for "
                f"torch {flavour.torch_version} and would not import. Give uv an index or a "
                "folder that has the build, with UV_INDEX=URL or UV_FIND_LINKS=FOLDER "
                f"(pytorch.org, 'Get Started', names it for {flavour.name}), or lock "
                "another flavour: 'flexpack image lock FLAVOUR'"
            )


def explain_missing_build(flavour: Flavour, error: ToolError) -> str | None:
    """Return what to do if uv has failed because no index has the flavour's torch; else None."""
    is_missing = f"torch=={flavour.torch_version}" in error.output
    return explain_index(flavour) if is_missing and not flavour.is_on_pypi else None


def find_warnings(
    place: Path, resolver: Resolver, before: Mapping[str, str], after: Mapping[str, str]
) -> tuple[str, ...]:
    """Return changes that may be mistakes: downgrades, and versions that are years old."""
    downgrades = (
        f"{name} was downgraded from {old} to {after[name]}: something else needs the older "
        "version. Test the code that used the newer version"
        for name, old in before.items()
        if name in after and Version(after[name]) < Version(old)
    )
    return tuple(f"{place}: {text}" for text in (*downgrades, *resolver.find_old(before, after)))


def write_if_changed(path: Path, text: str) -> bool:
    """Write a file, unless it holds that text; return whether it was written."""
    if path.exists() and path.read_text() == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return True


def _find_sources(lines: list[str]) -> frozenset[str]:
    """Return the names of the packages that are built from source: ``--no-binary=NAME``."""
    found = (re.fullmatch(r"--no-binary[= ]\s*(\S+)", line) for line in lines)
    return frozenset(
        canonicalize_name(name) for match in found if match for name in match[1].split(",")
    )


def _split(pins: str, shared: frozenset[str], sources: frozenset[str]) -> dict[str, str]:
    """Return the body of each layer's lock file."""
    blocks: dict[str, list[str]] = {layer: [] for layer in LAYERS}
    options: dict[str, list[str]] = {layer: [ONLY_WHEELS + "\n"] for layer in LAYERS}
    for name, block in split_pins(pins):
        if name not in shared:
            layer = "project"
        else:
            layer = "torch" if TORCH_LAYER.fullmatch(name) else "beam"
        blocks[layer].append(block)
        if name in sources:
            options[layer].append(f"--no-binary={name}\n")
    return {layer: "".join(options[layer] + blocks[layer]) for layer in LAYERS}
