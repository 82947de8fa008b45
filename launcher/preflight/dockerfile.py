"""Checks of the Dockerfile of an image that is to be launcher, worker, or both.

Rules: https://cloud.google.com/dataflow/docs/guides/build-container-image and
https://cloud.google.com/dataflow/docs/guides/templates/configuring-flex-templates
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from launcher.finding import (
    IMAGE_BOOT,
    IMAGE_ENVIRONMENT,
    IMAGE_LAUNCHER,
    IMAGE_SIZE,
    IMAGE_VERSIONS,
    IMAGE_WEIGHTS,
    Finding,
    error,
    warning,
)
from launcher.preflight.dockerfile_reader import Base, Dockerfile
from launcher.preflight.image_rules import (
    BOOT,
    DEFAULT_ENVIRONMENT,
    LAUNCHER,
    ImageSettings,
    check_settings,
    check_tag,
)
from launcher.preflight.locks import Lock

_BEAM_IMAGE = re.compile(r"(?:^|/)beam_python(?P<python>\d\.\d+)_sdk(?::(?P<beam>[^@]+))?")
_PYTHON_IMAGE = re.compile(r"(?:^|/)python:(?P<python>3\.\d+)")
_LAUNCHER_BASE = re.compile(r"/python\d*-template-launcher-base")
_CUDA_IMAGE = re.compile(r"(?:^|/)(nvidia/cuda|pytorch/pytorch|nvidia/pytorch)(?::(?P<tag>.*))?$")
_BEAM_PIN = re.compile(r"apache[-_]beam(?:\[[^\]]*\])?==(?P<beam>[0-9][^\s\"';]*)")
_VIRTUAL_ENVIRONMENT = re.compile(r"-m venv\s|\bvirtualenv\s|\bconda create\s|\buv venv\b")
_WEIGHTS = re.compile(r"\.(pth?|bin|safetensors|onnx|ckpt)$")


def check_dockerfile(dockerfile: Dockerfile, locks: Sequence[Lock] = ()) -> list[Finding]:
    """Return what would fail or mislead launcher or workers of the image.

    Args:
        locks: the requirement files that the image installs, where known.
    """
    return [
        *(found for base in dict.fromkeys(dockerfile.bases) for found in _check_base(base)),
        *check_settings(_read_settings(dockerfile, locks)),
        *_check_programs(dockerfile),
        *_check_versions(dockerfile, locks),
        *_check_interpreter(dockerfile),
        *_check_cuda(dockerfile, locks),
        *_check_contents(dockerfile),
    ]


def has_boot(dockerfile: Dockerfile) -> bool:
    """Return whether the image can be a worker: it holds Beam's boot program."""
    return dockerfile.copies_file(BOOT) or bool(_BEAM_IMAGE.search(dockerfile.base))


def has_launcher(dockerfile: Dockerfile) -> bool:
    """Return whether the image can be a launcher: it holds the launcher program."""
    return dockerfile.copies_file(LAUNCHER) or bool(_LAUNCHER_BASE.search(dockerfile.base))


def _check_base(base: Base) -> Iterator[Finding]:
    if base.image != "scratch":
        yield from check_tag(f"FROM {base.image}", base.image)


def _read_settings(dockerfile: Dockerfile, locks: Sequence[Lock]) -> ImageSettings:
    entrypoint = dockerfile.entrypoint
    if entrypoint is None and dockerfile.copies_file(BOOT):
        entrypoint = ()  # the base's starts something else
    return ImageSettings(
        where=str(dockerfile.path),
        platforms=tuple(base.platform for base in dockerfile.bases if base.platform),
        entrypoint=entrypoint,
        env=dockerfile.env,
        has_boot=has_boot(dockerfile),
        installs_packages=any("pip install" in command for command in dockerfile.runs),
        uses_cuda=bool(_find_cuda_builds(locks)) and not _CUDA_IMAGE.search(dockerfile.base),
        is_whole=False,
    )


def _check_versions(dockerfile: Dockerfile, locks: Sequence[Lock]) -> Iterator[Finding]:
    """Compare every place that says a version of Beam or Python."""
    beams: dict[str, str] = {}
    pythons: dict[str, str] = {}
    for base in dockerfile.bases:
        if match := _BEAM_IMAGE.search(base.image):
            pythons[base.image] = match["python"]
            if match["beam"] and match["beam"] != "latest":
                beams[base.image] = match["beam"]
        elif match := _PYTHON_IMAGE.search(base.image):
            pythons[base.image] = match["python"]
    for command in dockerfile.runs:
        for match in _BEAM_PIN.finditer(command):
            beams[match[0]] = match["beam"]
    for lock in locks:
        if "apache-beam" in lock.pins:
            beams[str(lock.path)] = lock.pins["apache-beam"]
    for what, found, symptom in (
        ("Beam", beams, "workers fail when they unpickle the pipeline"),
        ("Python", pythons, "workers fail with SystemError: unknown opcode"),
    ):
        if len(set(found.values())) > 1:
            places = ", ".join(f"{version} in {place}" for place, version in found.items())
            yield error(
                IMAGE_VERSIONS,
                f"{dockerfile.path}: {what} is {places}; {symptom}",
                f"Give all of them one version of {what}, best from one build argument.",
            )


def _check_programs(dockerfile: Dockerfile) -> Iterator[Finding]:
    path, entrypoint = dockerfile.path, dockerfile.entrypoint
    if entrypoint and entrypoint[0] == BOOT and not has_boot(dockerfile):
        yield error(
            IMAGE_BOOT,
            f"{path}: ENTRYPOINT {BOOT}, which no COPY brings into the image",
            "COPY --from=apache/beam_pythonX.Y_sdk:VERSION /opt/apache/beam /opt/apache/beam",
        )
    elif not has_boot(dockerfile):
        yield warning(
            IMAGE_BOOT,
            f"{path}: holds no {BOOT}, so that it cannot be the workers' image",
            "COPY --from=apache/beam_pythonX.Y_sdk:VERSION /opt/apache/beam /opt/apache/beam",
        )
    if not has_launcher(dockerfile):
        yield error(
            IMAGE_LAUNCHER,
            f"{path}: holds no {LAUNCHER}, which the launcher VM starts",
            f"COPY it from gcr.io/dataflow-templates-base/python311-template-launcher-base:TAG to "
            f"{LAUNCHER}.",
        )


def _check_interpreter(dockerfile: Dockerfile) -> Iterator[Finding]:
    if dockerfile.env.get(DEFAULT_ENVIRONMENT) == "1":
        return
    made = next((run for run in dockerfile.runs if _VIRTUAL_ENVIRONMENT.search(run)), None)
    if made:
        yield error(
            IMAGE_ENVIRONMENT,
            f"{dockerfile.path}: packages in a virtual environment ({made.strip()[:60]}), and "
            "Beam's boot program makes one of its own that does not see them",
            f"Install into the global interpreter, or set ENV {DEFAULT_ENVIRONMENT}=1 with the "
            "environment first in PATH.",
        )
    commands = " ".join(dockerfile.runs)
    if re.search(r"apt(-get)? .*\bpython3(\.\d+)?\b", commands) and "venv" not in commands:
        yield warning(
            IMAGE_ENVIRONMENT,
            f"{dockerfile.path}: Python from the distribution without its venv package: Beam's "
            "boot program stops at 'ensurepip is not available'",
            f"Install python3-venv too, or set ENV {DEFAULT_ENVIRONMENT}=1.",
        )


def _check_cuda(dockerfile: Dockerfile, locks: Sequence[Lock]) -> Iterator[Finding]:
    match = _CUDA_IMAGE.search(dockerfile.base)
    builds = _find_cuda_builds(locks)
    if match and "devel" in (match["tag"] or ""):
        yield warning(
            IMAGE_SIZE,
            f"{dockerfile.path}: FROM {dockerfile.base}: the devel image holds compilers that no "
            "worker needs, gigabytes that each worker pulls",
            "Take the base image; torch's wheels bring CUDA's libraries.",
        )
    elif match and builds:
        yield warning(
            IMAGE_SIZE,
            f"{dockerfile.path}: FROM {dockerfile.base} and torch ({', '.join(builds)}) "
            "both bring CUDA's libraries, which makes start-up slow and fills the disk",
            "Take a plain Python base, python:3.11-slim-bookworm.",
        )


def _find_cuda_builds(locks: Sequence[Lock]) -> set[str]:
    return {lock.torch_build for lock in locks if lock.torch_build} - {"cpu"}


def _check_contents(dockerfile: Dockerfile) -> Iterator[Finding]:
    for copy in dockerfile.copies:
        for source in copy.sources:
            if _WEIGHTS.search(source):
                yield warning(
                    IMAGE_WEIGHTS,
                    f"{dockerfile.path}: COPY {source}: weights in the image are pulled by every "
                    "launcher and worker, and change the image with each training",
                    "Keep them in Cloud Storage and name them as a parameter.",
                )
