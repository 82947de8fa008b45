"""Compares every version of Beam and Python that a Dockerfile and its locks state."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from packaging.version import InvalidVersion, Version

from launcher.finding import IMAGE_VERSIONS, LOCK_UNPINNED, Finding, error, hint, warning
from launcher.preflight.base_images import read_base_image
from launcher.preflight.image_rules import BOOT, LAUNCHER
from launcher.preflight.locks import Lock
from launcher.preflight.stages import BuildContext, Found, Stage, find_origin

_BEAM_PIN = re.compile(r"apache[-_]beam(?:\[[^\]]*\])?\s*===?\s*(?P<beam>\d[\w.]*\d)(?![\w.*])")
_BEAM_UNPINNED = re.compile(
    r"""(?x) (?<![\w./-]) apache[-_]beam (?:\[[^\]]*\])? (?![\w.\[/-]) (?!\s*(===?|@))"""
)
_INSTALL = re.compile(r"\b(pip[\d.]*|conda|mamba|poetry|uv)\b.*\b(install|add)\b")
_UPGRADE = re.compile(r"\s(-U|--upgrade)\b")
_APT_PYTHON = re.compile(r"\bpython(3\.\d+)(?![\w.])")
_PYTHON_FOLDERS = re.compile(r"site-packages|dist-packages|venv|/install\b|^/usr/local/?$|conda")


def check_versions(
    path: Path, stage: Stage, context: BuildContext, locks: Sequence[Lock]
) -> Iterator[Finding]:
    """Yield the places where versions differ or depend on the day of the build."""
    beams, pythons = _find_versions(stage, context, locks)
    for what, found, symptom in (
        ("Beam", beams, "workers fail when they unpickle the pipeline"),
        ("Python", pythons, "workers fail with SystemError: unknown opcode"),
    ):
        if len({_normalize(version) for version in found.values()}) > 1:
            places = ", ".join(f"{version} in {place}" for place, version in found.items())
            yield error(
                IMAGE_VERSIONS,
                f"{path}: {what} is {places}; {symptom}",
                f"Give all of them the same version of {what}, preferably from one build argument.",
            )
    yield from _check_launcher(path, stage, context, pythons)
    yield from _check_unpinned(path, stage, beams, locks)


def _find_versions(
    stage: Stage, context: BuildContext, locks: Sequence[Lock]
) -> tuple[dict[str, str], dict[str, str]]:
    beams: dict[str, str] = {}
    pythons: dict[str, str] = {}
    images = [stage.image]
    boot = find_origin(stage, BOOT, context)
    if isinstance(boot, Found) and boot.image:
        images.append(boot.image)
    commands = [run.command for run in stage.runs]
    for copy in stage.copies:
        if isinstance(copy.origin, Stage) and any(map(_PYTHON_FOLDERS.search, copy.sources)):
            images.append(copy.origin.image)
            commands += [run.command for run in copy.origin.runs]
    for image in map(read_base_image, images):
        if image.beam:
            beams[image.text] = image.beam
        if image.python:
            pythons[image.text] = image.python
    for command in commands:
        for match in _BEAM_PIN.finditer(command):
            beams[match[0]] = match["beam"]
    if read_base_image(stage.image).is_distribution:
        installed = {found for run in stage.runs for found in _APT_PYTHON.findall(run.command)}
        if len(installed) == 1:
            (version,) = installed
            pythons[f"RUN ... python{version}"] = version
    for lock in locks:
        if "apache-beam" in lock.pins:
            beams[str(lock.path)] = lock.pins["apache-beam"]
    return beams, pythons


def _check_launcher(
    path: Path, stage: Stage, context: BuildContext, pythons: Mapping[str, str]
) -> Iterator[Finding]:
    """Yield a finding if the launcher program is from an image for another Python, which works."""
    origin = find_origin(stage, LAUNCHER, context)
    if not isinstance(origin, Found) or origin.image is None:
        return
    python = read_base_image(origin.image).python
    others = set(pythons.values())
    if python and len(others) == 1 and python not in others:
        (other,) = others
        yield hint(
            IMAGE_VERSIONS,
            f"{path}: the launcher program is from {origin.image}, for Python {python}, but the "
            f"image has Python {other}; the program works with either",
            f"Copy it from python{other.replace('.', '')}-template-launcher-base.",
        )


def _check_unpinned(
    path: Path, stage: Stage, beams: Mapping[str, str], locks: Sequence[Lock]
) -> Iterator[Finding]:
    is_pinned = any("apache-beam" in lock.pins for lock in locks)
    has_beam = read_base_image(stage.image).beam is not None
    for run in stage.runs:
        for command in re.split(r"&&|;|\n", run.command):
            if not _INSTALL.search(command) or not _BEAM_UNPINNED.search(command):
                continue
            if (is_pinned or has_beam) and not _UPGRADE.search(command):
                continue
            if re.search(r"\s(-c|--constraint)\b", command):
                continue
            given = " ".join(command.split())[:60]
            if beams:
                place, version = next(iter(beams.items()))
                yield warning(
                    IMAGE_VERSIONS,
                    f"{path}: RUN {given}: installs the newest Beam, but {place} has {version}",
                    f"Write apache-beam[gcp]=={version}.",
                )
            else:
                yield warning(
                    LOCK_UNPINNED,
                    f"{path}: RUN {given}: apache-beam without a version; tomorrow's build may "
                    "install another",
                    "Write the version, apache-beam[gcp]==VERSION.",
                )


def _normalize(version: str) -> Version | str:
    try:
        return Version(version)
    except InvalidVersion:
        return version
