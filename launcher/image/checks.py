"""Checks whether an image would work as the launcher and as a worker on Dataflow.

``check_config`` needs only the image's configuration, ``check_facts`` the probe's findings.
https://cloud.google.com/dataflow/docs/guides/build-container-image and
https://cloud.google.com/dataflow/docs/guides/templates/configuring-flex-templates
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from launcher.finding import (
    IMAGE_ADDRESS,
    IMAGE_BOOT,
    IMAGE_CODE,
    IMAGE_ENTRY_FILE,
    IMAGE_ENVIRONMENT,
    IMAGE_EXAMPLE,
    IMAGE_LABEL,
    IMAGE_LAUNCH,
    IMAGE_LAUNCHER,
    IMAGE_MODEL,
    IMAGE_PACKAGES,
    IMAGE_PREDICTION,
    IMAGE_VERSIONS,
    Code,
    Finding,
    error,
    warning,
)
from launcher.image.config import ImageConfig
from launcher.image.locks import PYTHON_VERSION, read_pins
from launcher.image.probe import Facts, ProbedFile
from launcher.preflight.image_rules import (
    BOOT,
    DEFAULT_ENVIRONMENT,
    LAUNCHER,
    ON_THIS_MACHINE,
    PY_FILE,
    ImageSettings,
    check_settings,
)

_ADDRESS = re.compile(r"[a-z][a-z0-9+]*://[^\s\"']+")
_REBUILD = "build with docker/Dockerfile unchanged, or fix it"


def check_config(config: ImageConfig) -> list[Finding]:
    """Return the problems of an image's configuration on Dataflow."""
    settings = ImageSettings(
        where="the image",
        platforms=(f"{config.os}/{config.architecture}",),
        entrypoint=config.entrypoint,
        env=config.env,
    )
    return [*check_settings(settings), *_check_environment(config), *_check_addresses(config)]


def check_facts(facts: Facts, config: ImageConfig, *, lock: str) -> list[Finding]:
    """Return the problems inside an image on Dataflow.

    Args:
        lock: text of the lock that the image was built from.
    """
    return [
        *_check_files(facts),
        *_check_versions(facts, config, lock),
        *_check_code(facts),
        *_check_roles(facts),
        *_check_trial(facts),
    ]


def _check_environment(config: ImageConfig) -> Iterator[Finding]:
    if not config.env.get(DEFAULT_ENVIRONMENT):
        yield error(
            IMAGE_ENVIRONMENT,
            f"{DEFAULT_ENVIRONMENT} is not set: boot would make a virtual environment, which sees "
            "none of the image's packages",
            f"set ENV {DEFAULT_ENVIRONMENT}=1",
        )


def _check_addresses(config: ImageConfig) -> Iterator[Finding]:
    """Find what the image reveals about the machine that built it."""
    for name, value in config.env.items():
        if _ADDRESS.search(value) and not ON_THIS_MACHINE.search(value):
            yield error(
                IMAGE_ADDRESS,
                f"{name} holds an address, {value!r}",
                "pass addresses to the build as secrets, and to the job as parameters",
            )
    for step in (*config.history, *(f"{k}={v}" for k, v in config.labels.items())):
        if (match := _ADDRESS.search(step)) and not _is_source(match[0]):
            yield error(
                IMAGE_ADDRESS,
                f"the image's history or labels hold the address {match[0]}, which everyone can "
                "read",
                "pass addresses to the build as secrets: --pip-conf",
            )


def _is_source(address: str) -> bool:
    # python's own image downloads its sources in the open.
    return re.match(r"https?://(www\.)?python\.org/", address) is not None


def _check_files(facts: Facts) -> Iterator[Finding]:
    yield from _check_program(IMAGE_BOOT, BOOT, facts.boot, "BEAM_IMAGE")
    yield from _check_program(IMAGE_LAUNCHER, LAUNCHER, facts.launcher, "LAUNCHER_IMAGE")
    if not facts.entry_file.exists:
        yield error(
            IMAGE_ENTRY_FILE,
            f"the file that {PY_FILE} names does not exist",
            "copy it into the image, or correct the variable",
        )
    elif not facts.entry_file.readable_by_all:
        yield error(
            IMAGE_ENTRY_FILE,
            f"the file that {PY_FILE} names can be read only by root",
            "COPY it with --chmod=0755",
        )


def _check_program(code: Code, path: str, file: ProbedFile, source: str) -> Iterator[Finding]:
    if not file.exists:
        problem = "does not exist"
    elif not file.executable:
        problem = "may not be executed"
    elif file.machine != "amd64":
        problem = f"is made for {file.machine or 'no machine'}, not for amd64"
    else:
        return
    yield error(code, f"{path} {problem}", f"COPY it from {source} for linux/amd64")


def _check_versions(facts: Facts, config: ImageConfig, lock: str) -> Iterator[Finding]:
    if facts.is_virtual_environment:
        yield error(
            IMAGE_ENVIRONMENT,
            "the image's python is that of a virtual environment: boot would not use it",
            "install into the global interpreter",
        )
    if facts.pip_check:
        yield error(IMAGE_PACKAGES, f"pip check: {facts.pip_check.strip()}", "run 'make lock'")
    if facts.python_release != PYTHON_VERSION:
        yield error(
            IMAGE_VERSIONS,
            f"Python is {facts.python_version}, but the lock is for {PYTHON_VERSION}",
            f"use a PYTHON_IMAGE with Python {PYTHON_VERSION}",
        )
    pins = read_pins(lock)
    labels = {"apache-beam": "flexpack.beam", "torch": "flexpack.torch"}
    if "torch" not in pins:  # A project may have installed its own.
        del labels["torch"]
    for package, label in labels.items():
        installed, locked = facts.find_version(package), pins.get(package)
        if installed != locked:
            yield error(
                IMAGE_VERSIONS,
                f"{package} {installed} is installed, but the lock says {locked}",
                "build the image again",
            )
        yield from _check_label(config, label, installed)
    if "torch" in pins:
        yield from _check_label(config, "flexpack.cuda", facts.cuda_version or "none")


def _check_label(config: ImageConfig, label: str, found: str | None) -> Iterator[Finding]:
    said = config.labels.get(label)
    if said != found:
        yield error(
            IMAGE_LABEL,
            f"the label {label} says {said}, and the image holds {found}",
            "build with 'make image', which fills in the labels",
        )


def _check_code(facts: Facts) -> Iterator[Finding]:
    for failure in facts.code_failures:
        yield error(
            IMAGE_CODE,
            f"{failure.name} cannot be imported: {failure.error}",
            "correct it; add a package that is missing to your project's requirements.in and run "
            "'flexpack image lock --code DIR' (or to docker/requirements.in and run 'make lock')",
        )
    for failure in facts.package_failures:
        yield error(
            IMAGE_PACKAGES,
            f"{failure.name} cannot be imported: {failure.error}",
            "if a library is missing, name its Debian package in system-packages.txt of your "
            "project, or of docker/; "
            "if it was built for another torch, take this flavour's build and run 'make lock'",
        )


def _check_trial(facts: Facts) -> Iterator[Finding]:
    trial = facts.trial
    if trial is None:
        return
    if trial.result is None:
        yield error(
            IMAGE_MODEL,
            f"the model cannot be used in the image:\n{(trial.error or '').rstrip()}",
            "fix the error; workers do exactly this",
        )
    elif trial.result.failed:
        share = f"{trial.result.failed} of {trial.result.rows + trial.result.failed}"
        found = warning if trial.result.rows else error
        yield found(
            IMAGE_MODEL,
            f"the model did not predict {share} rows; the first error: {trial.result.first_error}",
            "correct the model, or the sample",
        )


def _check_roles(facts: Facts) -> Iterator[Finding]:
    if facts.inputs.error:
        yield error(
            IMAGE_EXAMPLE,
            f"the example model cannot be used in the image:\n{facts.inputs.error.rstrip()}",
            _REBUILD,
        )
        return
    if facts.launch.error or not facts.launch.result:
        yield error(
            IMAGE_LAUNCH,
            f"the entry file stages no job:\n{(facts.launch.error or 'no type').rstrip()}",
            "fix the error; the launcher runs exactly this",
        )
    counts = facts.prediction.result
    if counts is None:
        yield error(
            IMAGE_PREDICTION,
            f"a worker cannot predict:\n{(facts.prediction.error or '').rstrip()}",
            "fix the error; workers run exactly this",
        )
    elif counts["differing"]:
        yield error(
            IMAGE_PREDICTION,
            f"{counts['differing']} of {counts['rows']} predictions differ from {facts.reference}",
            "examine the pipeline before you trust its predictions",
        )
