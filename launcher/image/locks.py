"""The lock files: every package of an image, pinned and hashed.

Made by ``uv pip compile`` from ``docker/requirements.in``. The builds of torch that are not on PyPI
come from an index that the user has configured: its address is nowhere in this project.
https://docs.astral.sh/uv/pip/compile/
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import ImageError, InputError
from launcher.image.flavours import Flavour, default_flavour, find_flavour
from launcher.image.tools import ToolError, run_tool

REQUIREMENTS = Path("docker") / "requirements.in"

# Workers are of this kind, whatever machine makes the lock.
PYTHON_VERSION = "3.11"
_PLATFORM = "x86_64-manylinux_2_28"
# It exists as a source package only, and Beam needs it.
_BUILT_FROM_SOURCE = "google-apitools"

_TIMEOUT_SEC = 300.0

# What builds that package, pinned by the same lock; installed before all others.
BUILD_LOCK = Path("docker") / "locks" / "build.txt"
_BUILD_TOOL = "setuptools"


@dataclass(frozen=True)
class LockResult:
    """What became of a flavour's lock: ``problem`` says why it was left as it is."""

    flavour: Flavour
    changed: bool = False
    problem: str | None = None


def read_pin(lock: str, name: str) -> str:
    """Return the version to which a lock's text pins a package.

    Raises:
        InputError: it does not.
    """
    match = re.search(rf"^{re.escape(name)}(?:\[[^\]]*\])?==([^\s;\\]+)", lock, re.MULTILINE)
    if match is None:
        raise InputError(
            f"the lock does not pin {name}: name it in {REQUIREMENTS}, run 'make lock'"
        )
    return match[1]


def extract_pin(lock: str, name: str) -> str:
    """Return the part of a lock's text that pins one package, with its hashes.

    Raises:
        InputError: there is none.
    """
    version = read_pin(lock, name)
    start = lock.index(f"\n{name}=={version}") + 1
    lines = lock[start:].splitlines(keepends=True)
    end = next((n for n, line in enumerate(lines) if not line.endswith("\\\n")), len(lines))
    return "".join(lines[: end + 1])


def read_lock(root: Path, flavour: Flavour) -> str:
    """Return the text of a flavour's lock.

    Raises:
        InputError: there is none.
    """
    try:
        return (root / flavour.lock).read_text()
    except FileNotFoundError as error:
        raise InputError(
            f"--flavour {flavour.name}: {flavour.lock} does not exist. {_explain_index(flavour)}"
        ) from error


def build_lock_command(*, constraints: Path, output: Path) -> list[str]:
    """Return the command that resolves a flavour's packages, to be run in the project's root.

    Args:
        constraints: a file that asks for the flavour's build of torch.
        output: where the pins go; those that are there already are kept where possible.
    """
    return [
        *(_uv(), "pip", "compile", str(REQUIREMENTS), "--quiet", f"--constraints={constraints}"),
        *(f"--python-version={PYTHON_VERSION}", f"--python-platform={_PLATFORM}"),
        *("--only-binary=:all:", f"--no-binary={_BUILT_FROM_SOURCE}"),
        *("--generate-hashes", "--no-annotate", "--custom-compile-command=make lock"),
        f"--output-file={output}",
    ]


def write_locks(
    root: Path, flavours: Sequence[Flavour], *, environ: Mapping[str, str] = os.environ
) -> list[LockResult]:
    """Write the locks. Blocks, for seconds each; asks the package indexes.

    A pin stays where it is as long as the requirements allow; delete the files to get the newest.
    A flavour without a lock starts from the pins of the default one.

    Raises:
        InputError: the requirements are not there.
        ImageError: they cannot be resolved.
    """
    if not (root / REQUIREMENTS).is_file():
        raise InputError(f"{root / REQUIREMENTS}: no such file; run this in the project's root")
    results = [_write_lock(root, flavour, environ) for flavour in flavours]
    written = [result.flavour for result in results if result.problem is None]
    if written:
        text = (root / written[0].lock).read_text()
        (root / BUILD_LOCK).write_text(extract_pin(text, _BUILD_TOOL))
    return results


def _write_lock(root: Path, flavour: Flavour, environ: Mapping[str, str]) -> LockResult:
    lock = root / flavour.lock
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / lock.name
        for known in (lock, root / find_flavour(default_flavour()).lock):
            if known.exists():
                shutil.copy(known, output)
                break
        constraints = Path(directory) / "constraints.txt"
        constraints.write_text(f"torch=={flavour.torch_version}\n")
        command = build_lock_command(constraints=constraints, output=output)
        try:
            run_tool(
                command, cwd=root, environ=_uv_environ(flavour, environ), timeout_sec=_TIMEOUT_SEC
            )
        except ToolError as error:
            if flavour.is_on_pypi:
                raise ImageError(f"{flavour.lock}: {error}") from error
            return LockResult(flavour, problem=_explain_index(flavour))
        text = output.read_text()
    if (found := read_pin(text, "torch")) != flavour.torch_version:
        # A configured index or folder has a build of its own, which pip and uv prefer.
        raise ImageError(
            f"{flavour.lock}: resolved to torch {found} instead of {flavour.torch_version}; "
            "make this lock without UV_FIND_LINKS and UV_INDEX"
        )
    changed = not lock.exists() or lock.read_text() != text
    lock.write_text(text)
    return LockResult(flavour, changed=changed)


def _uv_environ(flavour: Flavour, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of uv, which does not read pip's."""
    if flavour.is_on_pypi:
        return dict(environ)
    links = [environ.get("UV_FIND_LINKS", ""), *environ.get("PIP_FIND_LINKS", "").split()]
    # PyTorch's index has other packages too, in old versions; uv would look for them nowhere else.
    strategy = environ.get("UV_INDEX_STRATEGY", "unsafe-best-match")
    return {
        **environ,
        "UV_FIND_LINKS": ",".join(filter(None, links)),
        "UV_INDEX_STRATEGY": strategy,
    }


def _explain_index(flavour: Flavour) -> str:
    if flavour.is_on_pypi:
        return "Run 'make lock'"
    return (
        f"torch {flavour.torch_version} is not on PyPI: give uv the index that has it, by "
        "UV_INDEX=URL or UV_FIND_LINKS=FOLDER (pytorch.org, 'Get Started', names it for "
        f"{flavour.name}), and run 'make lock'"
    )


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else "uv"
