"""The rules for images: for their names, and for what a Dockerfile or an image holds.

https://cloud.google.com/dataflow/docs/guides/build-container-image and
https://cloud.google.com/dataflow/docs/guides/templates/configuring-flex-templates
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from launcher.finding import (
    IMAGE_DRIVER_PATH,
    IMAGE_ENTRY_FILE,
    IMAGE_ENTRYPOINT,
    IMAGE_LAUNCH_INSTALLS,
    IMAGE_LOCAL_ADDRESS,
    IMAGE_PLATFORM,
    IMAGE_REGISTRY,
    IMAGE_TAG,
    Finding,
    error,
    warning,
)
from launcher.image_reference import ImageReference

BOOT = "/opt/apache/beam/boot"
LAUNCHER = "/opt/google/dataflow/python_template_launcher"
PY_FILE = "FLEX_TEMPLATE_PYTHON_PY_FILE"
DEFAULT_ENVIRONMENT = "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT"
ON_THIS_MACHINE = re.compile(r"(^|[/@=])(localhost|127\.0\.0\.1|0\.0\.0\.0)([:/]|$)")

REQUIREMENTS_FILE = "FLEX_TEMPLATE_PYTHON_REQUIREMENTS_FILE"

_PACKAGES = ("FLEX_TEMPLATE_PYTHON_SETUP_FILE", "FLEX_TEMPLATE_PYTHON_EXTRA_PACKAGES")
_DRIVER_LIBRARIES = "/usr/local/nvidia/lib64"

# Hosts to which Dataflow's workers authenticate with their service account.
_GOOGLE_HOST = re.compile(r"([a-z0-9-]+\.)?gcr\.io|[a-z0-9-]+-docker\.pkg\.dev")
# Hosts of images that need no credentials.
_PUBLIC_HOSTS = frozenset({"docker.io", "mcr.microsoft.com", "nvcr.io", "quay.io", "local"})


class Role(StrEnum):
    """The purpose of an image. ``BASE`` is one from which ``gcloud`` builds a launcher's image."""

    LAUNCHER = "launcher"
    WORKER = "worker"
    BASE = "base"
    BOTH = "both"

    @property
    def launches(self) -> bool:
        """Whether the image's launcher program is started."""
        return self is not Role.WORKER

    @property
    def works(self) -> bool:
        """Whether workers run the image."""
        return self in (Role.WORKER, Role.BOTH)


def check_image_reference(where: str, text: str) -> Iterator[Finding]:
    """Yield the risks of an image that launcher or workers pull.

    Args:
        where: the field or flag that names it.
    """
    image = ImageReference.parse(text)
    if image.host == "local":  # stands for the kit's own environment on the local Dataflow
        return
    yield from check_tag(f"{where} {text!r}", text)
    if _GOOGLE_HOST.fullmatch(image.host):
        return
    if image.host in _PUBLIC_HOSTS:
        return
    if image.host.startswith(("localhost", "127.")):
        yield error(
            IMAGE_REGISTRY,
            f"{where} {text!r}: a registry on this machine, which workers cannot reach",
            "Push the image to Artifact Registry: REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME.",
        )
        return
    yield warning(
        IMAGE_REGISTRY,
        f"{where} {text!r}: workers cannot authenticate to {image.host}; only the launcher uses "
        "the secrets of a spec",
        "Unless it is public, copy the image to Artifact Registry "
        "(REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME).",
    )


def check_tag(where: str, text: str) -> Iterator[Finding]:
    """Yield a finding if an image's name may stand for another image tomorrow."""
    if "$" in text:  # a build argument without a value
        return
    image = ImageReference.parse(text)
    if image.digest is None and image.tag in (None, "latest"):
        yield warning(
            IMAGE_TAG,
            f"{where}: {'the tag latest' if image.tag else 'no tag'}, so launcher and workers may "
            "get different images",
            "Name the image by digest (IMAGE@sha256:...) or by a tag that never moves.",
        )


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """How an image is run, read from its Dockerfile or from the image.

    Attributes:
        where: its name in messages.
        platforms: those it is made for, if stated.
        entrypoint: None if it is not known.
        role: what the image is for.
        starts_in_shell: whether the entrypoint is in the shell form, which drops all arguments.
        has_boot: whether it holds Beam's boot program.
        names_entry_file: False if unknown.
        installs: packages of gigabytes that are in it already.
        has_cache: whether it holds the packages that a launch downloads.
        uses_cuda: whether its torch is built for CUDA but its base is not.
        is_whole: whether everything is known; an unknown base image can add to what a Dockerfile
            shows.
    """

    where: str
    platforms: tuple[str, ...]
    entrypoint: tuple[str, ...] | None
    env: Mapping[str, str]
    role: Role = Role.BOTH
    starts_in_shell: bool = False
    has_boot: bool = True
    names_entry_file: bool = True
    installs: tuple[str, ...] = ("torch",)
    has_cache: bool = False
    uses_cuda: bool = True
    is_whole: bool = True


def check_settings(image: ImageSettings) -> Iterator[Finding]:
    """Yield the problems that launcher or workers of the image would have."""
    for platform in image.platforms:
        if not platform.startswith(("linux/amd64", "amd64", "$")):
            yield error(
                IMAGE_PLATFORM,
                f"{image.where}: is for {platform}; Dataflow's launcher and GPU workers are "
                "linux/amd64",
                "Build with --platform linux/amd64.",
            )
    if image.role.works:
        yield from _check_entrypoint(image)
    if image.role in (Role.LAUNCHER, Role.BOTH):
        yield from _check_launch(image)
    libraries = image.env.get("LD_LIBRARY_PATH", "").split(":")
    if image.role.works and image.uses_cuda and _DRIVER_LIBRARIES not in libraries:
        found = error if image.is_whole else warning
        yield found(
            IMAGE_DRIVER_PATH,
            f"{image.where}: LD_LIBRARY_PATH lacks {_DRIVER_LIBRARIES}, where Dataflow mounts the "
            "GPU's driver",
            f"ENV LD_LIBRARY_PATH={_DRIVER_LIBRARIES} PATH=/usr/local/nvidia/bin:${{PATH}}",
        )
    for name, value in image.env.items():
        if name.endswith("_EMULATOR_HOST") or ON_THIS_MACHINE.search(value):
            yield error(
                IMAGE_LOCAL_ADDRESS,
                f"{image.where}: ENV {name}={value}: nothing listens there on Dataflow",
                "Remove it from the image; set it where you run an emulator.",
            )


def _check_launch(image: ImageSettings) -> Iterator[Finding]:
    """Yield whatever makes the launcher slow or fail."""
    if not image.env.get(PY_FILE) and image.names_entry_file:
        yield error(
            IMAGE_ENTRY_FILE,
            f"{image.where}: does not set {PY_FILE}; the launcher ends with 'could not determine "
            "py file from env'",
            f"ENV {PY_FILE}=/path/in/the/image/main.py",
        )
    if (value := image.env.get(REQUIREMENTS_FILE)) and not image.has_cache:
        found = error if image.has_boot and image.installs else warning
        large = f", {', '.join(image.installs)} among them," if image.installs else ""
        yield found(
            IMAGE_LAUNCH_INSTALLS,
            f"{image.where}: {REQUIREMENTS_FILE}={value}: at every launch the launcher downloads "
            f"all packages{large} again, and may run out of time",
            "Install the packages in the workers' image and remove the variable; or fill the cache "
            "when the image is built: RUN pip download --dest /tmp/dataflow-requirements-cache -r "
            f"{value}",
        )
    for name in _PACKAGES:
        if (value := image.env.get(name)) and image.role.works:
            yield warning(
                IMAGE_LAUNCH_INSTALLS,
                f"{image.where}: {name}={value}: every launch packs and stages it, and every "
                "worker installs it again when it starts",
                "Install it in the image, which workers also run, and remove the variable.",
            )


def _check_entrypoint(image: ImageSettings) -> Iterator[Finding]:
    entrypoint = image.entrypoint
    if entrypoint is None or not image.has_boot:
        return
    given = " ".join(entrypoint)
    runs_shell = entrypoint[:1] in (("sh",), ("/bin/sh",), ("bash",), ("/bin/bash",))
    if not given:
        problem = "no ENTRYPOINT, so workers do not start Beam's boot program"
    elif image.starts_in_shell:
        problem = (
            f"ENTRYPOINT {given}: in the shell form, which drops the flags that workers pass "
            "to Beam's boot program"
        )
    elif runs_shell and "-c" in entrypoint and not any("$@" in word for word in entrypoint):
        problem = f"ENTRYPOINT {given}: the shell drops the flags that workers pass to it"
    elif entrypoint[0] == BOOT:
        return
    elif "python_template_launcher" in given or image.is_whole:
        problem = (
            f"ENTRYPOINT {given}: as a worker the image would crash at the flag --logging_endpoint "
            "of Beam's boot program"
        )
    else:  # a script of a Dockerfile, which may start the boot program itself
        return
    yield error(
        IMAGE_ENTRYPOINT,
        f"{image.where}: {problem}",
        f'Write ENTRYPOINT ["{BOOT}"]; the launcher VM starts the launcher by its path.',
    )
