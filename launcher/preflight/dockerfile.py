"""Checks of the Dockerfile of an image that is to be launcher, worker, or both.

Rules: https://cloud.google.com/dataflow/docs/guides/build-container-image and
https://cloud.google.com/dataflow/docs/guides/templates/configuring-flex-templates
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from launcher.finding import Finding, error, warning
from launcher.image_reference import ImageReference
from launcher.preflight.dockerfile_reader import Dockerfile
from launcher.preflight.locks import Lock

BOOT = "/opt/apache/beam/boot"
LAUNCHER = "/opt/google/dataflow/python_template_launcher"
PY_FILE = "FLEX_TEMPLATE_PYTHON_PY_FILE"
DEFAULT_ENVIRONMENT = "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT"
LAUNCH_INSTALLS = (
    "FLEX_TEMPLATE_PYTHON_REQUIREMENTS_FILE",
    "FLEX_TEMPLATE_PYTHON_SETUP_FILE",
)
DRIVER_LIBRARIES = "/usr/local/nvidia/lib64"

_BEAM_IMAGE = re.compile(r"(?:^|/)beam_python(?P<python>\d\.\d+)_sdk(?::(?P<beam>[^@]+))?")
_PYTHON_IMAGE = re.compile(r"(?:^|/)python:(?P<python>3\.\d+)")
_LAUNCHER_BASE = re.compile(r"/python\d*-template-launcher-base")
_CUDA_IMAGE = re.compile(r"(?:^|/)(nvidia/cuda|pytorch/pytorch|nvidia/pytorch)(?::(?P<tag>.*))?$")
_BEAM_PIN = re.compile(r"apache[-_]beam(?:\[[^\]]*\])?==(?P<beam>[0-9][^\s\"';]*)")
_VIRTUAL_ENVIRONMENT = re.compile(r"-m venv\s|\bvirtualenv\s|\bconda create\s|\buv venv\b")
_WEIGHTS = re.compile(r"\.(pth?|bin|safetensors|onnx|ckpt)$")
_LOCAL_ADDRESS = re.compile(r"(^|//|@)(localhost|127\.0\.0\.1|0\.0\.0\.0)([:/]|$)")


def check_dockerfile(dockerfile: Dockerfile, locks: Sequence[Lock] = ()) -> list[Finding]:
    """Return what would fail or mislead launcher or workers of the image.

    Args:
        locks: the requirement files that the image installs, where known.
    """
    return [
        *_check_bases(dockerfile),
        *_check_versions(dockerfile, locks),
        *_check_roles(dockerfile),
        *_check_launch_time(dockerfile),
        *_check_interpreter(dockerfile),
        *_check_cuda(dockerfile, locks),
        *_check_env(dockerfile),
        *_check_contents(dockerfile),
    ]


def has_boot(dockerfile: Dockerfile) -> bool:
    """Tell whether the image can be a worker: it holds Beam's boot program."""
    return dockerfile.copies_file(BOOT) or bool(_BEAM_IMAGE.search(dockerfile.base))


def has_launcher(dockerfile: Dockerfile) -> bool:
    """Tell whether the image can be a launcher: it holds the launcher program."""
    return dockerfile.copies_file(LAUNCHER) or bool(_LAUNCHER_BASE.search(dockerfile.base))


def _check_bases(dockerfile: Dockerfile) -> Iterator[Finding]:
    for base in dict.fromkeys(dockerfile.bases):
        image = ImageReference.parse(base.image)
        if base.image != "scratch" and image.digest is None and image.tag in (None, "latest"):
            yield warning(
                "image-tag",
                f"{dockerfile.path}: FROM {base.image}: moves, and the image with it",
                "Name a version, best by digest.",
            )
        if base.platform and not base.platform.startswith(("linux/amd64", "$")):
            yield error(
                "image-platform",
                f"{dockerfile.path}: FROM --platform={base.platform}: Dataflow's launcher and GPU "
                "workers are linux/amd64",
                "Build with --platform linux/amd64.",
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
                "image-versions",
                f"{dockerfile.path}: {what} is {places}; {symptom}",
                f"Give all of them one version of {what}, best from one build argument.",
            )


def _check_roles(dockerfile: Dockerfile) -> Iterator[Finding]:
    path = dockerfile.path
    entrypoint = dockerfile.entrypoint
    starts_launcher = bool(entrypoint) and "python_template_launcher" in " ".join(entrypoint or ())
    if has_boot(dockerfile) and starts_launcher:
        yield error(
            "image-entrypoint",
            f"{path}: ENTRYPOINT starts the launcher, and as a worker the image would crash on "
            "the flag --logging_endpoint",
            f'Write ENTRYPOINT ["{BOOT}"]; the launcher VM starts the launcher by its path.',
        )
    if dockerfile.copies_file(BOOT) and entrypoint is None:
        yield error(
            "image-entrypoint",
            f"{path}: no ENTRYPOINT, so that workers start what {dockerfile.base} starts",
            f'Write ENTRYPOINT ["{BOOT}"].',
        )
    if entrypoint and entrypoint[0] == BOOT and not has_boot(dockerfile):
        yield error(
            "image-boot",
            f"{path}: ENTRYPOINT {BOOT}, which no COPY brings into the image",
            "COPY --from=apache/beam_pythonX.Y_sdk:VERSION /opt/apache/beam /opt/apache/beam",
        )
    if not has_boot(dockerfile):
        yield warning(
            "image-boot",
            f"{path}: holds no {BOOT}, so that it cannot be the workers' image",
            "COPY --from=apache/beam_pythonX.Y_sdk:VERSION /opt/apache/beam /opt/apache/beam",
        )
    if not has_launcher(dockerfile):
        yield error(
            "image-launcher",
            f"{path}: holds no {LAUNCHER}, which the launcher VM starts",
            f"COPY it from gcr.io/dataflow-templates-base/python311-template-launcher-base:TAG to "
            f"{LAUNCHER}.",
        )
    if PY_FILE not in dockerfile.env:
        yield error(
            "image-entry-file",
            f"{path}: does not set {PY_FILE}; the launcher ends with 'could not determine py file "
            "from env'",
            f"ENV {PY_FILE}=/path/in/the/image/main.py",
        )


def _check_launch_time(dockerfile: Dockerfile) -> Iterator[Finding]:
    installs = any("pip install" in command for command in dockerfile.runs)
    for name in LAUNCH_INSTALLS:
        value = dockerfile.env.get(name)
        if not value:
            continue
        found = error if has_boot(dockerfile) and installs else warning
        yield found(
            "image-launch-installs",
            f"{dockerfile.path}: {name}={value}: at every launch the launcher downloads all "
            "packages again, and runs out of its time",
            "Remove the variable and install the packages in the image.",
        )


def _check_interpreter(dockerfile: Dockerfile) -> Iterator[Finding]:
    if dockerfile.env.get(DEFAULT_ENVIRONMENT) == "1":
        return
    made = next((run for run in dockerfile.runs if _VIRTUAL_ENVIRONMENT.search(run)), None)
    if made:
        yield error(
            "image-environment",
            f"{dockerfile.path}: packages in a virtual environment ({made.strip()[:60]}), and "
            "Beam's boot program makes one of its own that does not see them",
            f"Install into the global interpreter, or set ENV {DEFAULT_ENVIRONMENT}=1 with the "
            "environment first in PATH.",
        )
    commands = " ".join(dockerfile.runs)
    if re.search(r"apt(-get)? .*\bpython3(\.\d+)?\b", commands) and "venv" not in commands:
        yield warning(
            "image-environment",
            f"{dockerfile.path}: Python from the distribution without its venv package: Beam's "
            "boot program stops at 'ensurepip is not available'",
            f"Install python3-venv too, or set ENV {DEFAULT_ENVIRONMENT}=1.",
        )


def _check_cuda(dockerfile: Dockerfile, locks: Sequence[Lock]) -> Iterator[Finding]:
    match = _CUDA_IMAGE.search(dockerfile.base)
    builds = {lock.torch_build for lock in locks} - {None, "cpu"}
    if match and "devel" in (match["tag"] or ""):
        yield warning(
            "image-size",
            f"{dockerfile.path}: FROM {dockerfile.base}: the devel image holds compilers that no "
            "worker needs, gigabytes that each worker pulls",
            "Take the base image; torch's wheels bring CUDA's libraries.",
        )
    elif match and builds:
        yield warning(
            "image-size",
            f"{dockerfile.path}: FROM {dockerfile.base} and torch ({', '.join(map(str, builds))}) "
            "both bring CUDA's libraries, which makes start-up slow and fills the disk",
            "Take a plain Python base, python:3.11-slim-bookworm.",
        )
    libraries = dockerfile.env.get("LD_LIBRARY_PATH", "")
    if builds and not match and DRIVER_LIBRARIES not in libraries:
        yield warning(
            "image-driver-path",
            f"{dockerfile.path}: LD_LIBRARY_PATH lacks {DRIVER_LIBRARIES}, where Dataflow "
            "mounts the GPU's driver",
            f"ENV LD_LIBRARY_PATH={DRIVER_LIBRARIES} PATH=/usr/local/nvidia/bin:${{PATH}}",
        )


def _check_env(dockerfile: Dockerfile) -> Iterator[Finding]:
    for name, value in dockerfile.env.items():
        if name.endswith("_EMULATOR_HOST") or _LOCAL_ADDRESS.search(value):
            yield error(
                "image-local-address",
                f"{dockerfile.path}: ENV {name}={value}: on Dataflow nothing answers there",
                "Remove it from the image; set it where you run an emulator.",
            )


def _check_contents(dockerfile: Dockerfile) -> Iterator[Finding]:
    for copy in dockerfile.copies:
        for source in copy.sources:
            if _WEIGHTS.search(source):
                yield warning(
                    "image-weights",
                    f"{dockerfile.path}: COPY {source}: weights in the image are pulled by every "
                    "launcher and worker, and change the image with each training",
                    "Keep them in Cloud Storage and name them as a parameter.",
                )
