"""Google Cloud Build: builds in the cloud if no engine is installed here.

https://cloud.google.com/build/docs
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from launcher.errors import ImageError, InputError
from launcher.image.plan import BuildPlan
from launcher.image.tools import Report, ToolError, follow_tool, run_tool, shorten_step
from launcher.image_reference import find_repository, read_reference

_CONFIG = Path("docker") / "cloudbuild.yaml"
_CACHE_TAG = "buildcache"
_BUILD_TIMEOUT_SEC = 2 * 3600.0
_QUERY_TIMEOUT_SEC = 60.0


class CloudBuild:
    """Builds and pushes in one step; the image is never on this machine."""

    name = "cloudbuild"

    def find_problem(self) -> str | None:
        """Return why Cloud Build cannot be used here, or None."""
        if shutil.which("gcloud") is None:
            return "gcloud is not installed"
        try:
            account = run_tool(
                ["gcloud", "config", "get-value", "account"], timeout_sec=_QUERY_TIMEOUT_SEC
            )
        except ToolError:
            return "gcloud does not work"
        return None if account.strip() else "gcloud has no account; run 'gcloud auth login'"

    def build(self, plan: BuildPlan, folder: Path, report: Report) -> None:
        """Build an image and push it. Blocks, for many minutes if layers are not cached."""
        follow_tool(
            build_command(plan, folder),
            timeout_sec=_BUILD_TIMEOUT_SEC,
            summarize=str if plan.is_verbose else summarize,
            report=report,
        )

    def push(self, reference: str) -> str:
        """Return the digest of an image that the build has pushed."""
        command = ["gcloud", "artifacts", "docker", "images", "describe", reference]
        digest = run_tool(
            [*command, "--format=value(image_summary.digest)"], timeout_sec=_QUERY_TIMEOUT_SEC
        ).strip()
        if not digest:
            raise ImageError(f"{reference}: the build has ended, but the image is not there")
        return digest


def summarize(line: str) -> str | None:
    """Return the step that a line of a build begins, or where its log is; None otherwise."""
    if match := re.search(r"#\d+ \[(?:\S+ +)?(\d+/\d+)\] (.*)", line):
        return shorten_step(f"{match[1]} {match[2]}")
    return line if line.startswith("Logs are available at") else None


def build_command(plan: BuildPlan, folder: Path) -> list[str]:
    """Return gcloud's command line for a build of the context in a folder.

    Raises:
        InputError: the image is not for Artifact Registry, or the build needs what Cloud Build does
            not support.
    """
    image = read_reference(plan.reference)
    found = find_repository(image)
    if found is None:
        raise InputError(
            f"--image {plan.reference!r}: Cloud Build pushes what it builds; give a name in "
            "Artifact Registry, REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME"
        )
    if plan.secrets or plan.volumes:
        raise InputError(
            "--pip-conf: Cloud Build cannot read local files. Put pip.conf into Secret "
            "Manager (gcloud secrets create pip-conf --data-file=FILE) and give the secret's name: "
            "--pip-conf-secret pip-conf"
        )
    # gcloud splits at commas, or at the delimiter between the circumflexes.
    cache = f"{image.name}:{_CACHE_TAG}"
    substitutions = f"^;^_IMAGE={plan.reference};_CACHE={cache};_FLAGS={' '.join(plan.flags)}"
    if plan.pip_conf_secret:
        substitutions += f";_PIP_CONF_SECRET={plan.pip_conf_secret}"
    return [
        *("gcloud", "builds", "submit", str(folder), f"--config={plan.kit / _CONFIG}"),
        *(f"--project={found[0].project}", f"--substitutions={substitutions}"),
    ]
