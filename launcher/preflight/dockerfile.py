"""Checks of the Dockerfile of an image for the launcher, the workers, or both.

Rules: https://cloud.google.com/dataflow/docs/guides/build-container-image and
https://cloud.google.com/dataflow/docs/guides/templates/configuring-flex-templates
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from launcher.finding import (
    FILE_ENCODING,
    IMAGE_BOOT,
    IMAGE_ENTRY_FILE,
    IMAGE_ENTRYPOINT,
    IMAGE_ENVIRONMENT,
    IMAGE_LAUNCHER,
    IMAGE_ROLE,
    IMAGE_SIZE,
    IMAGE_WEIGHTS,
    Finding,
    error,
    hint,
    warning,
)
from launcher.preflight.base_images import read_base_image
from launcher.preflight.dockerfile_reader import Dockerfile
from launcher.preflight.environments import find_hidden_environment
from launcher.preflight.image_rules import (
    BOOT,
    DEFAULT_ENVIRONMENT,
    LAUNCHER,
    PY_FILE,
    ImageSettings,
    Role,
    check_settings,
    check_tag,
)
from launcher.preflight.image_versions import check_versions
from launcher.preflight.locks import Lock
from launcher.preflight.stages import (
    Found,
    Lost,
    find_origin,
    find_sources,
    is_made_by_run,
    resolve,
)

_WEIGHTS = re.compile(r"\.(pth?|bin|safetensors|onnx|ckpt|gguf|h5)$")
_APT_PYTHON = re.compile(
    r"\bapt(-get)?\b.*\binstall\b.*\bpython3(\.\d+)?(?![\w.-])", flags=re.DOTALL
)
_LARGE_FILE_BYTES = 10_000_000
_MOST_FILES = 2000
_LARGE_PACKAGES = ("torch", "tensorflow", "jax", "jaxlib", "vllm")


def check_dockerfile(
    dockerfile: Dockerfile, locks: Sequence[Lock] = (), role: Role | None = None
) -> list[Finding]:
    """Return the problems that launcher or workers of the image would have.

    Args:
        locks: the requirement files that the image installs, if known.
        role: what the image is for; None infers it from what the image holds.
    """
    known = role or find_role(dockerfile)
    findings = [
        *_check_encoding(dockerfile),
        *(
            found
            for image in dockerfile.target.list_images()
            if image != "scratch"
            for found in check_tag(f"FROM {image}", image)
        ),
        *check_settings(_read_settings(dockerfile, locks, known)),
        *_check_programs(dockerfile, known),
        *check_versions(dockerfile.path, dockerfile.target, dockerfile.context, locks),
        *_check_cuda(dockerfile, locks),
        *_check_contents(dockerfile),
    ]
    if known in (Role.LAUNCHER, Role.BOTH):
        findings += _check_entry_file(dockerfile)
    if known.works:
        findings += [*_check_interpreter(dockerfile), *_check_script(dockerfile)]
    if role is None and known is not Role.BOTH:
        findings += _name_role(dockerfile, known)
    return findings


def find_role(dockerfile: Dockerfile) -> Role:
    """Return an image's role, from what it or its base holds."""
    stage = dockerfile.target
    launches = bool(stage.env.get(PY_FILE)) or holds(dockerfile, LAUNCHER) is not False
    starts = stage.entrypoint.words if stage.entrypoint else ()
    works = holds(dockerfile, BOOT) is not False or any(BOOT in word for word in starts)
    if works and not launches:
        return Role.WORKER
    if launches and not works:
        copies_code = any(copy.origin is None for copy in stage.copies)
        is_base = not stage.env.get(PY_FILE) and not copies_code
        return Role.BASE if is_base else Role.LAUNCHER
    return Role.BOTH


def holds(dockerfile: Dockerfile, program: str) -> bool | None:
    """Return whether the image holds a program; None if that depends on an unknown base."""
    stage = dockerfile.target
    origin = find_origin(stage, program, dockerfile.context)
    if isinstance(origin, Found):
        return read_base_image(origin.image).holds(program) if origin.image else True
    if is_made_by_run(stage, program):
        return True
    return read_base_image(stage.image).holds(program)


def _name_role(dockerfile: Dockerfile, role: Role) -> Iterator[Finding]:
    reasons = {
        Role.WORKER: f"the workers' only: it neither sets {PY_FILE} nor holds {LAUNCHER}",
        Role.LAUNCHER: f"the launcher's only: it holds no {BOOT}, so it cannot be the workers' "
        "image",
        Role.BASE: f"a base for the launcher's: it holds {LAUNCHER} and none of your files",
    }
    yield hint(
        IMAGE_ROLE,
        f"{dockerfile.path}: checked as {reasons[role]}",
        "--role both checks it for launcher and workers; --role launcher, worker or base says "
        "what it is for.",
    )


def _check_encoding(dockerfile: Dockerfile) -> Iterator[Finding]:
    if dockerfile.encoding.startswith(("utf-16", "utf-32")):
        yield error(
            FILE_ENCODING,
            f"{dockerfile.path}: written in {dockerfile.encoding}, which no engine can build",
            "Save it as UTF-8.",
        )


def _read_settings(dockerfile: Dockerfile, locks: Sequence[Lock], role: Role) -> ImageSettings:
    stage = dockerfile.target
    base = read_base_image(stage.image)
    entrypoint = stage.entrypoint.words if stage.entrypoint else None
    if entrypoint is None and base.is_known:
        entrypoint = (base.entrypoint,) if base.entrypoint else ()
    commands = "\n".join(run.command for run in stage.runs)
    installed = [
        name
        for name in _LARGE_PACKAGES
        if any(name in lock.pins or name in lock.names for lock in locks)
    ]
    return ImageSettings(
        where=str(dockerfile.path),
        platforms=tuple(filter(None, (stage.platform, base.processor))),
        entrypoint=entrypoint,
        role=role,
        starts_in_shell=bool(stage.entrypoint and stage.entrypoint.is_shell),
        env=stage.env,
        has_boot=holds(dockerfile, BOOT) is not False,
        names_entry_file=base.is_known,
        installs=tuple(installed) if "pip install" in commands else (),
        has_cache="dataflow-requirements-cache" in commands,
        uses_cuda=bool(_find_cuda_builds(locks)) and base.cuda_tag is None,
        is_whole=False,
    )


def _check_programs(dockerfile: Dockerfile, role: Role) -> Iterator[Finding]:
    path, entrypoint = dockerfile.path, dockerfile.target.entrypoint
    if role.works and holds(dockerfile, BOOT) is False:
        starts = bool(entrypoint and entrypoint.words[:1] == (BOOT,))
        yield error(
            IMAGE_BOOT,
            f"{path}: ENTRYPOINT {BOOT}, which no COPY brings into the image"
            if starts
            else f"{path}: holds no {BOOT}, so it cannot be the workers' image",
            "COPY --from=apache/beam_pythonX.Y_sdk:VERSION /opt/apache/beam /opt/apache/beam",
        )
    if role.launches and holds(dockerfile, LAUNCHER) is False:
        yield error(
            IMAGE_LAUNCHER,
            f"{path}: holds no {LAUNCHER}, which the launcher VM starts",
            f"COPY it from gcr.io/dataflow-templates-base/python311-template-launcher-base:TAG to "
            f"{LAUNCHER}.",
        )


def _check_entry_file(dockerfile: Dockerfile) -> Iterator[Finding]:
    """Yield a finding if the entry file is not where the launcher looks for it."""
    stage = dockerfile.target
    named = stage.env.get(PY_FILE)
    if not named or "$" in named:
        return
    path = resolve(named, stage.workdir)
    origin = find_origin(stage, path, dockerfile.context)
    if isinstance(origin, Found) or is_made_by_run(stage, path):
        return
    if isinstance(origin, Lost):
        problem = "the .dockerignore excludes it" if origin.is_ignored else "there is no such file"
        yield error(
            IMAGE_ENTRY_FILE,
            f"{dockerfile.path}: {PY_FILE}={named}: COPY would bring it from {origin.file}, and "
            f"{problem}",
            "Correct the .dockerignore."
            if origin.is_ignored
            else "Correct the variable or the COPY.",
        )
    elif read_base_image(stage.image).is_known:
        yield error(
            IMAGE_ENTRY_FILE,
            f"{dockerfile.path}: {PY_FILE}={named}: no COPY brings {path} into the image",
            "Correct the variable or the COPY.",
        )


def _check_script(dockerfile: Dockerfile) -> Iterator[Finding]:
    """Yield a finding if the project's start script does not start the worker."""
    entrypoint = dockerfile.target.entrypoint
    if not entrypoint or entrypoint.is_shell or entrypoint.words[:1] in ((), (BOOT,)):
        return
    script = next((word for word in entrypoint.words if word.endswith(".sh")), entrypoint.words[0])
    origin = find_origin(
        dockerfile.target, resolve(script, dockerfile.target.workdir), dockerfile.context
    )
    if not isinstance(origin, Found) or origin.file is None:
        return
    content = origin.file.read_bytes()
    if content.startswith(b"\x7fELF") or len(content) > 1_000_000:
        return
    text = content.decode(errors="replace")
    if BOOT not in text:
        problem = f"does not start {BOOT}, Beam's program for workers"
    elif "$@" not in text and "$*" not in text:
        problem = f"drops the flags that workers pass to {BOOT}"
    else:
        return
    yield error(
        IMAGE_ENTRYPOINT,
        f"{dockerfile.path}: ENTRYPOINT {script}: {origin.file} {problem}",
        f'End it with: exec {BOOT} "$@"',
    )


def _check_interpreter(dockerfile: Dockerfile) -> Iterator[Finding]:
    stage = dockerfile.target
    if stage.env.get(DEFAULT_ENVIRONMENT):
        return
    if hidden := find_hidden_environment(stage):
        kind = "a conda environment outside PATH" if hidden.is_conda else "a virtual one"
        yield error(
            IMAGE_ENVIRONMENT,
            f"{dockerfile.path}: packages in a separate environment, {kind} "
            f"({hidden.command[:60]}), but Beam's boot program makes its own, which does not see "
            "them",
            f"Install into the global interpreter, or set ENV {DEFAULT_ENVIRONMENT}=1 with the "
            "environment first in PATH.",
        )
    commands = " ".join(run.command for run in stage.runs)
    if (
        read_base_image(stage.image).is_distribution
        and _APT_PYTHON.search(commands)
        and not re.search(r"venv|python3[\d.]*-full|conda|\buv\b", commands)
    ):
        yield warning(
            IMAGE_ENVIRONMENT,
            f"{dockerfile.path}: Python from the distribution without its venv package: Beam's "
            "boot program stops at 'ensurepip is not available'",
            f"Install python3-venv too, or set ENV {DEFAULT_ENVIRONMENT}=1.",
        )


def _check_cuda(dockerfile: Dockerfile, locks: Sequence[Lock]) -> Iterator[Finding]:
    image = dockerfile.target.image
    tag = read_base_image(image).cuda_tag
    builds = _find_cuda_builds(locks)
    if tag is not None and "devel" in tag:
        yield warning(
            IMAGE_SIZE,
            f"{dockerfile.path}: FROM {image}: the devel image holds compilers that no worker "
            "needs, and each worker pulls these gigabytes",
            "Use the base image; torch's wheels bring CUDA's libraries.",
        )
    elif tag is not None and builds:
        yield warning(
            IMAGE_SIZE,
            f"{dockerfile.path}: FROM {image} and torch ({', '.join(builds)}) "
            "both bring CUDA's libraries, which makes start-up slow and fills the disk",
            "Use a plain Python base, such as python:3.11-slim-trixie.",
        )


def _find_cuda_builds(locks: Sequence[Lock]) -> set[str]:
    return {lock.torch_build for lock in locks if lock.torch_build} - {"cpu"}


def _check_contents(dockerfile: Dockerfile) -> Iterator[Finding]:
    for copy in dockerfile.target.copies:
        named = [source for source in copy.sources if _WEIGHTS.search(source)]
        inside = [
            str(file.relative_to(dockerfile.context.folder))
            for source in find_sources(copy, dockerfile.context)
            if not named and source.is_dir()
            for file in _find_large_files(source)
            if not dockerfile.context.ignores(file)
        ]
        if copy.origin is None and (named or inside):
            yield warning(
                IMAGE_WEIGHTS,
                f"{dockerfile.path}: COPY {(named or inside)[0]}: every launcher and worker pulls "
                "weights that are in the image, and each new training changes the image",
                "Keep them in Cloud Storage and name them as a parameter.",
            )


def _find_large_files(folder: Path) -> Iterator[Path]:
    for number, file in enumerate(folder.rglob("*")):
        if number > _MOST_FILES:
            return
        is_weights = _WEIGHTS.search(file.name) and ".venv" not in file.parts
        if is_weights and file.is_file() and file.stat().st_size > _LARGE_FILE_BYTES:
            yield file
