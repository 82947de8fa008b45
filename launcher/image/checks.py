"""Checks of an image: would it work as the launcher and as a worker on Dataflow?

``check_config`` needs the image's configuration only, ``check_facts`` what the probe found inside.
https://cloud.google.com/dataflow/docs/guides/build-container-image and
https://cloud.google.com/dataflow/docs/guides/templates/configuring-flex-templates
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from launcher.finding import Finding, error
from launcher.image.config import ImageConfig
from launcher.image.locks import PYTHON_VERSION, read_pin
from launcher.image.probe import Facts, ProbedFile
from launcher.preflight.dockerfile import (
    BOOT,
    DEFAULT_ENVIRONMENT,
    DRIVER_LIBRARIES,
    LAUNCH_INSTALLS,
    LAUNCHER,
    PY_FILE,
)

_STAGING = (*LAUNCH_INSTALLS, "FLEX_TEMPLATE_PYTHON_EXTRA_PACKAGES")
_ADDRESS = re.compile(r"[a-z][a-z0-9+]*://[^\s\"']+")
_LOCAL_HOST = re.compile(r"\b(localhost|127\.0\.0\.1)(:\d+)?\b")
_REBUILD = "build with docker/Dockerfile as it is, or mend it"


def check_config(config: ImageConfig) -> list[Finding]:
    """Return what in an image's configuration would fail on Dataflow."""
    return [*_check_platform(config), *_check_env(config), *_check_addresses(config)]


def check_facts(facts: Facts, config: ImageConfig, *, lock: str) -> list[Finding]:
    """Return what inside an image would fail on Dataflow.

    Args:
        lock: text of the lock that the image was built from.
    """
    return [
        *_check_files(facts),
        *_check_versions(facts, config, lock),
        *_check_roles(facts),
    ]


def _check_platform(config: ImageConfig) -> Iterator[Finding]:
    platform = f"{config.os}/{config.architecture}"
    if platform != "linux/amd64":
        yield error(
            "image-platform",
            f"the image is for {platform}; Dataflow's workers are linux/amd64",
            "build with --platform linux/amd64",
        )
    if config.entrypoint != (BOOT,):
        yield error(
            "image-entrypoint",
            f"ENTRYPOINT is {list(config.entrypoint)}: as workers' image it would crash, because "
            "Dataflow starts it with the flags of Beam's boot program",
            f'set ENTRYPOINT ["{BOOT}"]; the launcher is started by its own path',
        )


def _check_env(config: ImageConfig) -> Iterator[Finding]:
    if not config.env.get(PY_FILE):
        yield error(
            "image-entry-file",
            f"{PY_FILE} is not set: the launcher would not know what to run",
            f"set ENV {PY_FILE}=/opt/flexpack/template/main.py",
        )
    for name in _STAGING:
        if name in config.env:
            yield error(
                "image-launch-installs",
                f"{name} is set: the launcher would download all packages at every launch, and "
                "time out",
                f"delete ENV {name}: the packages are in the image",
            )
    if config.env.get(DEFAULT_ENVIRONMENT) != "1":
        yield error(
            "image-environment",
            f"{DEFAULT_ENVIRONMENT} is not 1: boot would make a virtual environment, which sees "
            "none of the image's packages",
            f"set ENV {DEFAULT_ENVIRONMENT}=1",
        )
    if DRIVER_LIBRARIES not in config.env.get("LD_LIBRARY_PATH", "").split(":"):
        yield error(
            "image-driver-path",
            f"LD_LIBRARY_PATH does not hold {DRIVER_LIBRARIES}, where Dataflow mounts the NVIDIA "
            "driver: torch would see no GPU",
            f"set ENV LD_LIBRARY_PATH={DRIVER_LIBRARIES}",
        )


def _check_addresses(config: ImageConfig) -> Iterator[Finding]:
    """Find what the image remembers of the machine that built it."""
    for name, value in config.env.items():
        if name.endswith("_EMULATOR_HOST"):
            yield error(
                "image-local-address",
                f"{name} is {value!r}: the workers would talk to an emulator that is not there",
                f"delete ENV {name}",
            )
        elif _ADDRESS.search(value) or _LOCAL_HOST.search(value):
            yield error(
                "image-address",
                f"{name} holds an address, {value!r}",
                "give addresses to the build as secrets, and to the job as parameters",
            )
    for step in (*config.history, *(f"{k}={v}" for k, v in config.labels.items())):
        if (match := _ADDRESS.search(step)) and not _is_source(match[0]):
            yield error(
                "image-address",
                f"the image's history or labels hold the address {match[0]}, for all to read",
                "give addresses to the build as secrets: --pip-conf",
            )


def _is_source(address: str) -> bool:
    # python's own image downloads its sources in the open.
    return re.match(r"https?://(www\.)?python\.org/", address) is not None


def _check_files(facts: Facts) -> Iterator[Finding]:
    yield from _check_program("boot", BOOT, facts.boot, "BEAM_IMAGE")
    yield from _check_program("launcher", LAUNCHER, facts.launcher, "LAUNCHER_IMAGE")
    if not facts.entry_file.exists:
        yield error(
            "image-entry-file",
            f"the file that {PY_FILE} names does not exist",
            "copy it into the image, or correct the variable",
        )
    elif not facts.entry_file.readable_by_all:
        yield error(
            "image-entry-file",
            f"the file that {PY_FILE} names can be read by root only",
            "COPY it with --chmod=0755",
        )


def _check_program(name: str, path: str, file: ProbedFile, source: str) -> Iterator[Finding]:
    if not file.exists:
        problem = "does not exist"
    elif not file.executable:
        problem = "may not be executed"
    elif file.machine != "amd64":
        problem = f"is made for {file.machine or 'no machine'}, not for amd64"
    else:
        return
    yield error(f"image-{name}", f"{path} {problem}", f"COPY it from {source} for linux/amd64")


def _check_versions(facts: Facts, config: ImageConfig, lock: str) -> Iterator[Finding]:
    if facts.is_virtual_environment:
        yield error(
            "image-environment",
            "the image's python is that of a virtual environment: boot would not use it",
            "install into the global interpreter",
        )
    if facts.pip_check:
        yield error("image-packages", f"pip check: {facts.pip_check.strip()}", "run 'make lock'")
    if facts.python_version != PYTHON_VERSION:
        yield error(
            "image-versions",
            f"Python is {facts.python_version}, and the lock is for {PYTHON_VERSION}",
            f"give a PYTHON_IMAGE of Python {PYTHON_VERSION}",
        )
    for package, label in (("apache-beam", "flexpack.beam"), ("torch", "flexpack.torch")):
        installed, locked = facts.find_version(package), read_pin(lock, package)
        if installed != locked:
            yield error(
                "image-versions",
                f"{package} {installed} is installed, and the lock says {locked}",
                "build the image anew",
            )
        yield from _check_label(config, label, installed)
    yield from _check_label(config, "flexpack.cuda", facts.cuda_version or "none")


def _check_label(config: ImageConfig, label: str, found: str | None) -> Iterator[Finding]:
    said = config.labels.get(label)
    if said != found:
        yield error(
            "image-label",
            f"the label {label} says {said}, and the image holds {found}",
            "build with 'make image', which fills in the labels",
        )


def _check_roles(facts: Facts) -> Iterator[Finding]:
    if facts.inputs.error:
        yield error(
            "image-example",
            f"the example model cannot be used in the image:\n{facts.inputs.error.rstrip()}",
            _REBUILD,
        )
        return
    if facts.launch.error or not facts.launch.result:
        yield error(
            "image-launch",
            f"the entry file stages no job:\n{(facts.launch.error or 'no type').rstrip()}",
            "mend what it says; the launcher runs it just so",
        )
    counts = facts.prediction.result
    if counts is None:
        yield error(
            "image-prediction",
            f"a worker cannot predict:\n{(facts.prediction.error or '').rstrip()}",
            "mend what it says; workers run just so",
        )
    elif counts["differing"]:
        yield error(
            "image-prediction",
            f"{counts['differing']} of {counts['rows']} predictions differ from torch's own",
            "look into the pipeline before you trust its predictions",
        )
