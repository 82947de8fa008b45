"""Fallbacks: the same launch in other regions or on other GPUs, one after another.

``launcher/jobs/failures.json`` says which failures lead to the next one: a shortage of capacity or
quota, which no change of the template can fix. Any other failure ends the launch.
https://cloud.google.com/dataflow/docs/guides/common-errors#zone-resource-pool-exhausted
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from launcher.accelerators.catalogue import Accelerator
from launcher.errors import InputError
from launcher.launch.options import LaunchConfig
from template.parameters import did_you_mean

_KEYS = ("region", "worker_region", "worker_zone", "accelerator", "worker_machine_type")
_LONGEST_NAME = 63


@dataclass(frozen=True)
class Fallback:
    """One fallback's changes to the launch; ``text`` is what the user wrote."""

    text: str
    changes: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str) -> Fallback:
        """Read ``KEY=VALUE[,KEY=VALUE...]``, where keys are names of flags.

        Raises:
            InputError: a key or value cannot be read.
        """
        changes: dict[str, Any] = {}
        for item in text.split(","):
            name, equals, value = item.partition("=")
            key = name.strip().removeprefix("--").replace("-", "_")
            if key not in _KEYS:
                raise InputError(
                    f"--fallback {text!r}: {name!r} cannot be changed by a fallback"
                    f"{did_you_mean(key, _KEYS)}; a fallback can change {', '.join(_KEYS)}"
                )
            if not equals or not value or key in changes:
                raise InputError(
                    f"--fallback {text!r}: expected each KEY=VALUE once, for example "
                    "region=europe-west4,accelerator=nvidia-tesla-t4:1"
                )
            changes[key] = Accelerator.parse(value) if key == "accelerator" else value
        return cls(text, changes)


def apply_fallbacks(
    config: LaunchConfig, fallbacks: Sequence[Fallback]
) -> tuple[LaunchConfig, ...]:
    """Return the launch and, for each fallback, the changed launch.

    Every fallback changes the first launch, not the one before. Each has its own job name and
    launch id. Options that no longer fit after a change are dropped, unless the fallback sets them:
    the zone for another region, the machine type for another accelerator.
    """
    configs = [config]
    for number, fallback in enumerate(fallbacks, start=2):
        suffix = f"-{number}"
        changes = dict(fallback.changes)
        if changes.keys() & {"region", "worker_region"}:
            changes = {"worker_zone": None, "worker_region": None} | changes
        if "worker_zone" in changes:
            changes = {"worker_region": None} | changes
        if "accelerator" in changes:
            changes = {"worker_machine_type": None} | changes
        name = re.sub(r"-+$", "", config.job_name[: _LONGEST_NAME - len(suffix)])
        configs.append(
            replace(config, job_name=f"{name}{suffix}", launch_id=uuid4().hex, **changes)
        )
    return tuple(configs)
