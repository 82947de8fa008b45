"""The gcloud command that launches a template, ready to copy into a shell.

https://cloud.google.com/sdk/gcloud/reference/dataflow/flex-template/run
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from launcher.errors import InputError

_DELIMITERS = ",~;|#%!@+&*"


def build_run_command(
    job_name: str,
    *,
    template_file_gcs_location: str,
    project: str,
    region: str,
    staging_location: str,
    parameters: Mapping[str, str],
) -> list[str]:
    """Return ``gcloud dataflow flex-template run`` as a list of words."""
    words = [
        *("gcloud", "dataflow", "flex-template", "run", job_name),
        f"--template-file-gcs-location={template_file_gcs_location}",
        f"--project={project}",
        f"--region={region}",
        f"--staging-location={staging_location}",
    ]
    if parameters:
        words.append(f"--parameters={escape_dict(parameters)}")
    return words


def escape_dict(values: Mapping[str, str]) -> str:
    """Return values as gcloud reads a dictionary.

    gcloud splits at commas, or at what stands between two circumflexes in front:
    https://cloud.google.com/sdk/gcloud/reference/topic/escaping

    Raises:
        InputError: the values hold every character that could stand between them.
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
