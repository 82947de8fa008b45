"""buildah: builds without a daemon.

https://github.com/containers/buildah/tree/main/docs
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from launcher.errors import ImageError
from launcher.image.config import ImageConfig, parse_config
from launcher.image.context import DOCKERFILE
from launcher.image.plan import PLATFORM, BuildPlan
from launcher.image.tools import Report, ToolError, follow_tool, run_tool, shorten_step
from launcher.image_reference import suggest_repository

# The second package registers the first with the kernel; systemd, if it runs, does the same.
EMULATION = "'apt-get install qemu-user-static binfmt-support'"

_HANDLERS = Path("/proc/sys/fs/binfmt_misc")
_BUILD_TIMEOUT_SEC = 2 * 3600.0
_PUSH_TIMEOUT_SEC = 3600.0
_QUERY_TIMEOUT_SEC = 60.0


class Buildah:
    """Builds into containers-storage."""

    name = "buildah"

    def find_problem(self) -> str | None:
        """Return why buildah cannot be used here, or None."""
        if shutil.which("buildah") is None:
            return "not installed"
        return find_emulation_problem(platform.machine())

    def build(self, plan: BuildPlan, folder: Path, report: Report) -> None:
        """Build an image. Blocks, for many minutes if layers are not cached."""
        for name, reference in plan.build_args.items():
            if name.endswith("_IMAGE") and _tls(reference):
                self.fetch(reference)  # A build would use TLS.
        follow_tool(
            build_command(plan, folder),
            environ=_environ(),
            timeout_sec=_BUILD_TIMEOUT_SEC,
            summarize=str if plan.is_verbose else summarize,
            report=report,
        )

    def push(self, reference: str) -> str:
        """Push an image and return its digest. Blocks, for minutes."""
        with tempfile.TemporaryDirectory() as directory:
            digest = Path(directory) / "digest"
            command = ["buildah", "push", f"--digestfile={digest}", *_tls(reference)]
            try:
                run_tool(
                    [*command, reference, f"docker://{reference}"],
                    timeout_sec=_PUSH_TIMEOUT_SEC,
                    show=True,
                )
            except ToolError as error:
                raise ImageError(
                    f"{reference}: cannot be pushed: {error}\n{_explain_login(reference)}"
                    f"{suggest_repository(reference)}"
                ) from error
            return digest.read_text().strip()

    def fetch(self, reference: str) -> None:
        """Pull an image unless it is on this machine. Blocks, for minutes."""
        if _has(reference):
            return
        try:
            run_tool(
                ["buildah", "pull", "--quiet", *_tls(reference), reference],
                timeout_sec=_PUSH_TIMEOUT_SEC,
            )
        except ToolError as error:
            raise ImageError(
                f"{reference}: is not on this machine, and cannot be pulled: {error}\n"
                f"{_explain_login(reference)}"
            ) from error

    def read_config(self, reference: str) -> ImageConfig:
        """Return an image's configuration."""
        image = json.loads(_query("inspect", "--type=image", reference))
        return parse_config(image["OCIv1"])

    def run_python(
        self,
        reference: str,
        program: str,
        *,
        timeout_sec: float,
        arguments: Sequence[str] = (),
        mounts: Mapping[Path, PurePosixPath] | None = None,
    ) -> str:
        """Run a program with the image's interpreter, in the network of this machine. Blocks."""
        volumes = [f"--volume={path}:{inside}:ro" for path, inside in (mounts or {}).items()]
        with _container(reference) as container:
            return run_tool(
                ["buildah", "run", *volumes, container, "--", "python", "-B", "-", *arguments],
                environ=_environ(),
                stdin=program,
                timeout_sec=timeout_sec,
            )

    def save(self, reference: str, directory: str) -> None:
        """Write an image as an OCI layout, compressed as in a registry. Blocks, for minutes."""
        run_tool(
            ["buildah", "push", "--quiet", reference, f"oci:{directory}"],
            timeout_sec=_PUSH_TIMEOUT_SEC,
        )


def find_emulation_problem(machine: str, handlers: Path = _HANDLERS) -> str | None:
    """Return why programs for Dataflow's machines do not run here, or None.

    Args:
        machine: this machine, as from ``uname -m``.
        handlers: https://docs.kernel.org/admin-guide/binfmt-misc.html.
    """
    if machine in ("x86_64", "AMD64") or any(handlers.glob("*x86_64*")):
        return None
    return f"this machine is {machine}, and emulates {PLATFORM} only after {EMULATION}"


def summarize(line: str) -> str | None:
    """Return the step that a line of a build begins, or None."""
    match = re.match(r"(?:\[(\d+)/\d+\] )?STEP (\d+)/(\d+): (.*)", line)
    return shorten_step(f"{match[2]}/{match[3]} {match[4]}") if match else None


def build_command(plan: BuildPlan, folder: Path) -> list[str]:
    """Return buildah's command line for a build of the context in a folder."""
    return [
        *("buildah", "build", "--layers", "--force-rm", f"--file={folder / DOCKERFILE}"),
        *(f"--platform={PLATFORM}", f"--tag={plan.reference}"),
        *plan.flags,
        *(f"--secret=id={name},src={path}" for name, path in plan.secrets.items()),
        *(f"--volume={path}:{path}:ro" for path in plan.volumes),
        str(folder),
    ]


def _has(reference: str) -> bool:
    try:
        _query("inspect", "--type=image", reference)
    except ToolError:
        return False
    return True


def _tls(reference: str) -> list[str]:
    """Return the flag for a registry on this machine, which docker also reaches without TLS."""
    return ["--tls-verify=false"] if reference.startswith("localhost:") else []


def _explain_login(reference: str) -> str:
    host = reference.partition("/")[0]
    return (
        "To log in to Artifact Registry: gcloud auth print-access-token | "
        f"buildah login --username oauth2accesstoken --password-stdin {host}"
    )


def _query(*arguments: str) -> str:
    return run_tool(["buildah", *arguments], environ=_environ(), timeout_sec=_QUERY_TIMEOUT_SEC)


@contextmanager
def _container(reference: str) -> Iterator[str]:
    """Make a container of an image, and remove it at the end."""
    container = _query("from", "--pull-never", reference).strip()
    try:
        yield container
    finally:
        _query("rm", container)


def _environ() -> dict[str, str]:
    # Root's default needs cgroups, which are missing if the machine itself is a container.
    return {"BUILDAH_ISOLATION": "chroot", **os.environ}
