"""Write a launch for others to run: as a command of flexpack or gcloud.

https://cloud.google.com/sdk/gcloud/reference/dataflow/flex-template/run
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from launcher.errors import InputError
from launcher.launch.options import LaunchConfig

_DELIMITERS = ",~;|#%!@+&*"


def build_flexpack_command(config: LaunchConfig) -> list[str]:
    """Return ``flexpack run`` for a launch as a list of words."""
    words = ["flexpack", "run", config.job_name, *_place_flags(config)]
    return words + [f"--parameters={name}={value}" for name, value in config.parameters.items()]


def build_gcloud_command(config: LaunchConfig) -> list[str]:
    """Return ``gcloud dataflow flex-template run`` for a launch as a list of words."""
    words = ["gcloud", "dataflow", "flex-template", "run", config.job_name, *_place_flags(config)]
    return words + ([f"--parameters={escape_dict(config.parameters)}"] if config.parameters else [])


def _place_flags(config: LaunchConfig) -> list[str]:
    staging = config.staging_location
    return [
        f"--template-file-gcs-location={config.template_file_gcs_location}",
        f"--project={config.project}",
        f"--region={config.region}",
        *([f"--staging-location={staging}"] if staging else []),
    ]


def escape_dict(values: Mapping[str, str]) -> str:
    """Return values as gcloud reads a dictionary.

    gcloud splits at commas, or at a delimiter given between two circumflexes in front:
    https://cloud.google.com/sdk/gcloud/reference/topic/escaping

    Raises:
        InputError: the values contain every possible delimiter.
    """
    pairs = [f"{key}={value}" for key, value in values.items()]
    free = [delimiter for delimiter in _DELIMITERS if not any(delimiter in pair for pair in pairs)]
    if not free:
        raise InputError("--parameters: too many special characters; use gcloud's --flags-file")
    joined = free[0].join(pairs)
    return joined if free[0] == "," else f"^{free[0]}^{joined}"


def format_command(words: list[str]) -> str:
    """Return a command for a shell, one flag a line."""
    command = [word for word in words if not word.startswith("--")]
    flags = [word for word in words if word.startswith("--")]
    lines = [shlex.join(command), *(f"    {shlex.quote(flag)}" for flag in flags)]
    return " \\\n".join(lines)
