"""docker, with its buildx plugin.

https://docs.docker.com/reference/cli/docker/buildx/build/
"""

from __future__ import annotations

import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from launcher.errors import ImageError
from launcher.image.config import ImageConfig, parse_config
from launcher.image.context import DOCKERFILE
from launcher.image.plan import PLATFORM, BuildPlan
from launcher.image.tools import Report, ToolError, follow_tool, run_tool, shorten_step
from launcher.image_reference import read_reference, suggest_repository

EMULATION = (
    "'docker run --privileged --rm tonistiigi/binfmt --install amd64', or in Docker Desktop the "
    "setting 'Use Rosetta'"
)

_BUILD_TIMEOUT_SEC = 2 * 3600.0
_PUSH_TIMEOUT_SEC = 3600.0
_QUERY_TIMEOUT_SEC = 60.0


class Docker:
    """Builds with BuildKit in Docker's daemon, and keeps the image there."""

    name = "docker"

    def find_problem(self) -> str | None:
        """Return why docker cannot be used here, or None."""
        if shutil.which("docker") is None:
            return "not installed"
        for command, problem in (
            (["docker", "buildx", "version"], "its buildx plugin is missing"),
            (["docker", "info"], "its daemon does not answer"),
        ):
            try:
                run_tool(command, timeout_sec=_QUERY_TIMEOUT_SEC)
            except ToolError:
                return problem
        return self._find_platform_problem()

    def _find_platform_problem(self) -> str | None:
        """Return what the builder lacks to build for Dataflow's machines, such as emulation."""
        shown = run_tool(["docker", "buildx", "inspect"], timeout_sec=_QUERY_TIMEOUT_SEC)
        if has_platform(shown):
            return None
        return f"it cannot build for {PLATFORM}; an ARM machine can emulate it after {EMULATION}"

    def build(self, plan: BuildPlan, folder: Path, report: Report) -> None:
        """Build an image into the daemon. Blocks, for many minutes if layers are not cached."""
        follow_tool(
            build_command(plan, folder),
            timeout_sec=_BUILD_TIMEOUT_SEC,
            summarize=str if plan.is_verbose else summarize,
            report=report,
        )

    def push(self, reference: str) -> str:
        """Push an image and return its digest. Blocks, for minutes."""
        try:
            run_tool(["docker", "push", reference], timeout_sec=_PUSH_TIMEOUT_SEC, show=True)
        except ToolError as error:
            raise ImageError(
                f"{reference}: cannot be pushed: {error}\n{_explain_login(reference)}"
                f"{suggest_repository(reference)}"
            ) from error
        digests = json.loads(self._inspect(reference, "{{json .RepoDigests}}"))
        return find_digest(reference, digests)

    def fetch(self, reference: str) -> None:
        """Pull an image unless it is on this machine. Blocks, for minutes."""
        try:
            self._inspect(reference, "{{.Id}}")
        except ToolError:
            pass
        else:
            return
        command = ["docker", "pull", "--quiet", f"--platform={PLATFORM}", reference]
        try:
            run_tool(command, timeout_sec=_PUSH_TIMEOUT_SEC)
        except ToolError as error:
            raise ImageError(
                f"{reference}: is not on this machine, and cannot be pulled: {error}\n"
                f"{_explain_login(reference)}"
            ) from error

    def read_config(self, reference: str) -> ImageConfig:
        """Return an image's configuration."""
        image = json.loads(self._inspect(reference, "{{json .}}"))
        history = run_tool(
            ["docker", "history", "--no-trunc", "--format", "{{json .CreatedBy}}", reference],
            timeout_sec=_QUERY_TIMEOUT_SEC,
        )
        return parse_config(
            {
                "architecture": image["Architecture"],
                "os": image["Os"],
                "config": image["Config"],
                "rootfs": {"diff_ids": image["RootFS"]["Layers"]},
                # docker lists the newest first.
                "history": [
                    {"created_by": json.loads(line)} for line in reversed(history.splitlines())
                ],
            }
        )

    def run_python(
        self,
        reference: str,
        program: str,
        *,
        timeout_sec: float,
        arguments: Sequence[str] = (),
        mounts: Mapping[Path, PurePosixPath] | None = None,
    ) -> str:
        """Run a program with the image's interpreter, without a network. Blocks."""
        volumes = [f"--volume={path}:{inside}:ro" for path, inside in (mounts or {}).items()]
        command = ["docker", "run", "--rm", "--interactive", "--network=none", *volumes]
        command += ["--entrypoint=python", reference, "-B", "-", *arguments]
        return run_tool(command, stdin=program, timeout_sec=timeout_sec)

    def save(self, reference: str, directory: str) -> None:
        """Write an image as an OCI layout; docker 25 and newer save one. Blocks, for minutes."""
        with tempfile.TemporaryDirectory() as temporary:
            archive = Path(temporary) / "image.tar"
            run_tool(
                ["docker", "save", f"--output={archive}", reference], timeout_sec=_PUSH_TIMEOUT_SEC
            )
            with tarfile.open(archive) as tar:
                tar.extractall(directory, filter="data")
        if not (Path(directory) / "index.json").exists():
            raise ImageError("docker: too old to save an OCI layout; 25 or newer is needed")

    def _inspect(self, reference: str, template: str) -> str:
        return run_tool(
            ["docker", "image", "inspect", f"--format={template}", reference],
            timeout_sec=_QUERY_TIMEOUT_SEC,
        )


def _explain_login(reference: str) -> str:
    host = reference.partition("/")[0]
    return f"To log in to Artifact Registry: gcloud auth configure-docker {host}"


def has_platform(inspected: str) -> bool:
    """Return whether a builder, from ``docker buildx inspect``, builds for Dataflow."""
    return re.search(rf"^Platforms:.*\b{PLATFORM}\b", inspected, re.MULTILINE) is not None


def find_digest(reference: str, repo_digests: Sequence[str]) -> str:
    """Return the digest of a pushed image among docker's ``RepoDigests``.

    Raises:
        ImageError: docker reports none.
    """
    name = read_reference(reference).name
    for pushed in repo_digests:
        repository, _, digest = pushed.partition("@")
        # docker omits the name of its own registry.
        if name in (repository, f"docker.io/{repository}"):
            return digest
    raise ImageError(f"{reference}: was pushed, but docker reports no digest for it")


def summarize(line: str) -> str | None:
    """Return the step that a line of a build begins, or None."""
    match = re.match(r"#\d+ \[(?:\S+ +)?(\d+/\d+)\] (.*)", line)
    return shorten_step(f"{match[1]} {match[2]}") if match else None


def build_command(plan: BuildPlan, folder: Path) -> list[str]:
    """Return docker's command line for a build of the context in a folder."""
    return [
        *("docker", "buildx", "build", f"--file={folder / DOCKERFILE}"),
        # With attestations the digest would name an index, and only indirectly the image.
        *(f"--platform={PLATFORM}", "--provenance=false", "--load", f"--tag={plan.reference}"),
        "--progress=plain",
        *plan.flags,
        *(f"--secret=id={name},src={path}" for name, path in plan.secrets.items()),
        str(folder),
    ]
