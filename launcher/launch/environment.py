"""The runtime environment of a Flex Template job, made from options with gcloud's names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from launcher.accelerators.catalogue import (
    WORKER_ACCELERATOR,
    encode_worker_accelerator,
    find_type_problem,
)
from launcher.accelerators.gpu_defaults import add_gpu_defaults
from launcher.errors import InputError
from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.launch.options import EnvironmentOptions, list_options

_REGION = re.compile(r"[a-z]+-[a-z]+[0-9]+")
_GCS_FOLDER = re.compile(r"gs://[a-z0-9][-_.a-z0-9]+(/.*)?")
# Job.labels of the REST API: \p{Ll}, \p{Lo} and \p{N} are letters and digits of any script.
_LABEL_LETTERS = ("Ll", "Lo")
_LABEL_DIGITS = ("Nd", "Nl", "No")
_MOST_LABELS = 64
_LONGEST_LABEL = 63
_LONGEST_LABEL_BYTES = 128
# Prefixes of experiments that negate others.
_NEGATIONS = ("no_use_", "no_", "disable_")
_AFFIRMATIONS = ("use_", "enable_")


def build_environment(
    options: EnvironmentOptions,
    *,
    base: FlexTemplateRuntimeEnvironment | None = None,
    image: str | None = None,
    on_all_workers: bool = True,
) -> FlexTemplateRuntimeEnvironment:
    """Return the environment that the options describe, with the settings that its GPUs need.

    As in gcloud, a staging location alone serves for temporary files too. Lists and maps
    (experiments, pipeline options, labels) keep the entries of ``base``, because it is not
    documented whether the service adds a launch's entries to the template's.

    Args:
        base: the template's default environment, which provides everything that this one omits.
        image: the template's own image.
        on_all_workers: False leaves the GPUs to a resource hint of the prediction step.

    Raises:
        InputError: options are wrong; the message names each of them.
    """
    if problems := list(find_option_problems(options)):
        raise InputError("\n".join(problems))
    base = base or FlexTemplateRuntimeEnvironment()
    environment = FlexTemplateRuntimeEnvironment(
        **_plain_fields(options),
        additional_experiments=_experiments(options, base, on_all_workers),
        additional_pipeline_options=_pipeline_options(options, base),
        additional_user_labels={**base.additional_user_labels, **options.additional_user_labels},
    )
    if environment.temp_location is None:
        environment = replace(environment, temp_location=options.staging_location)
    if options.accelerator is None:
        return environment
    return add_gpu_defaults(
        environment,
        options.accelerator,
        base=base,
        image=image,
        on_all_workers=on_all_workers,
    )


def _plain_fields(options: EnvironmentOptions) -> dict[str, Any]:
    """Return the fields that each take the value of one option."""
    values: dict[str, Any] = {}
    for declared in list_options(EnvironmentOptions):
        given = getattr(options, declared.name)
        if declared.type is bool:
            values[str(declared.rest)] = declared.option.rest_value if given else None
        elif declared.type in (int | None, str | None):
            values[str(declared.rest)] = given
    return values


def find_option_problems(options: EnvironmentOptions) -> Iterator[str]:
    """Yield a message for every option that is wrong or conflicts with another."""
    accelerator: object = options.accelerator  # Python lets a text through
    if isinstance(accelerator, str):
        yield f"accelerator {accelerator!r}: give Accelerator.parse({accelerator!r})"
        return
    for flag, location in (
        ("--staging-location", options.staging_location),
        ("--temp-location", options.temp_location),
    ):
        if location is not None and not _GCS_FOLDER.fullmatch(location):
            yield f"{flag} {location!r}: expected a Cloud Storage folder, gs://BUCKET/FOLDER"
    for declared in list_options(type(options)):
        number = getattr(options, declared.name)
        if declared.type == int | None and number is not None and number < 1:
            yield f"{declared.flag} {number}: expected a number of at least 1"
    if options.num_workers and options.max_workers and options.num_workers > options.max_workers:
        yield f"--num-workers {options.num_workers}: more than --max-workers {options.max_workers}"
    if options.worker_zone and _REGION.fullmatch(options.worker_zone):
        yield (
            f"--worker-zone {options.worker_zone!r}: a region; give it as --worker-region, or a "
            f"zone of it, for example {options.worker_zone}-a"
        )
    if options.worker_region and options.worker_zone:
        yield "--worker-region and --worker-zone: give one of them; the zone implies its region"
    if options.accelerator and (problem := find_type_problem(options.accelerator)):
        yield f"--accelerator '{options.accelerator}': {problem}"
    if options.accelerator and any(
        experiment.startswith(f"{WORKER_ACCELERATOR}=")
        for experiment in options.additional_experiments
    ):
        yield (
            f"--accelerator and --additional-experiments {WORKER_ACCELERATOR}=...: the same thing "
            "twice; keep --accelerator"
        )
    yield from _find_contradictions(options.additional_experiments)
    yield from _find_label_problems(options.additional_user_labels)


def _find_contradictions(experiments: Sequence[str]) -> Iterator[str]:
    """Yield experiments that are given with different values, or with their negation."""
    seen: dict[str, str] = {}
    for experiment in experiments:
        name = name_experiment(experiment)
        other = seen.setdefault(name, experiment)
        if other != experiment and name != WORKER_ACCELERATOR:
            yield (
                f"--additional-experiments {other} and {experiment}: they contradict each other; "
                "keep one"
            )


def name_experiment(experiment: str) -> str:
    """Return an experiment's subject: ``runner_v2`` for use_, disable_ and no_use_runner_v2."""
    name = experiment.partition("=")[0]
    for prefix in (*_NEGATIONS, *_AFFIRMATIONS):
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def _find_label_problems(labels: Mapping[str, str]) -> Iterator[str]:
    if len(labels) >= _MOST_LABELS:  # the launch adds one of its own
        yield f"--additional-user-labels: {len(labels)} labels; a job takes {_MOST_LABELS - 1}"
    for key, value in labels.items():
        is_key = bool(key) and unicodedata.category(key[0]) in _LABEL_LETTERS
        if not is_key or not _is_label(key) or not _is_label(value):
            yield (
                f"--additional-user-labels {key}={value}: lower-case letters, digits, '-' and '_' "
                "only, at most 63 of them, the key beginning with a letter"
            )


def _is_label(text: str) -> bool:
    legal = (*_LABEL_LETTERS, *_LABEL_DIGITS)
    size = len(text.encode(errors="surrogatepass"))
    is_short = len(text) <= _LONGEST_LABEL and size <= _LONGEST_LABEL_BYTES
    return is_short and all(
        character in "-_" or unicodedata.category(character) in legal for character in text
    )


def _experiments(
    options: EnvironmentOptions, base: FlexTemplateRuntimeEnvironment, on_all_workers: bool
) -> tuple[str, ...]:
    """Return the experiments; none if the template's need no change."""
    own = options.additional_experiments
    kept = base.additional_experiments
    if options.accelerator is not None:
        kept = tuple(entry for entry in kept if not entry.startswith(f"{WORKER_ACCELERATOR}="))
        if on_all_workers:
            own = (encode_worker_accelerator(options.accelerator), *own)
    elif not own:
        return ()
    named = {name_experiment(entry) for entry in own}
    kept = tuple(entry for entry in kept if name_experiment(entry) not in named)
    return tuple(dict.fromkeys((*own, *kept)))


def _pipeline_options(
    options: EnvironmentOptions, base: FlexTemplateRuntimeEnvironment
) -> tuple[str, ...]:
    own = options.additional_pipeline_options
    if not own and options.accelerator is None:
        return ()
    named = {entry.partition("=")[0] for entry in own}
    kept = (
        entry for entry in base.additional_pipeline_options if entry.partition("=")[0] not in named
    )
    return (*own, *kept)
