"""The findings of ``docker/inventory.py`` and ``docker/probe.py`` inside an image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from launcher.errors import ImageError

INVENTORY = Path("docker") / "inventory.py"
PROBE = Path("docker") / "probe.py"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ProbedFile:
    """A file of the image. ``machine`` is the processor that an executable is for: amd64, arm64."""

    exists: bool
    executable: bool
    readable_by_all: bool
    machine: str | None


@dataclass(frozen=True, kw_only=True)
class Package:
    """An installed package.

    Attributes:
        source: of a Debian package, the source package that it was built from.
    """

    name: str
    version: str
    license: str = ""
    architecture: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class OperatingSystem:
    """A distribution, as its os-release file names it: ``debian``, ``12``."""

    id: str
    version: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program that no package brought.

    Attributes:
        go: version of the Go that compiled it, or None.
        modules: its modules, itself first.
    """

    sha256: str | None
    go: str | None
    modules: tuple[Package, ...]


@dataclass(frozen=True, kw_only=True)
class Attempt(Generic[T]):
    """The outcome of a role: a result, or the traceback of its failure."""

    result: T | None
    error: str | None


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A file or package that could not be imported, and the reason."""

    name: str
    error: str


@dataclass(frozen=True, kw_only=True)
class ModelRun:
    """The outcome of the user's model.

    Attributes:
        loaded: whether it had a file to load.
        rows: the number of predicted rows; 0 without input.
        failed: the number of dead letters.
        first_error: the error of the first dead letter.
    """

    loaded: bool
    rows: int
    failed: int
    first_error: str | None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The findings of both programs.

    Attributes:
        python_version: the interpreter's full version.
        programs: boot and launcher, by path.
        pip_check: complaints of ``pip check``.
        inputs: whether the example model's files could be made.
        launch: type of the job that the entry file staged.
        prediction: how many ``rows`` were predicted and how many are ``differing`` from what the
            example model predicts without Beam.
        code_failures: modules of the template and of the project that cannot be imported.
        package_failures: packages of docker/requirements.in and of the projects that cannot be
            imported.
        trial: the user's model; None if none was given.
    """

    python_version: str
    operating_system: OperatingSystem | None
    programs: Mapping[str, Program]
    is_virtual_environment: bool
    boot: ProbedFile
    launcher: ProbedFile
    entry_file: ProbedFile
    cuda_version: str | None
    packages: tuple[Package, ...]
    system_packages: tuple[Package, ...]
    pip_check: str
    inputs: Attempt[None]
    launch: Attempt[str]
    prediction: Attempt[dict[str, int]]
    code_failures: tuple[Failure, ...]
    package_failures: tuple[Failure, ...]
    trial: Attempt[ModelRun] | None

    @property
    def python_release(self) -> str:
        """The interpreter's major and minor version: 3.11."""
        return self.python_version.rpartition(".")[0]

    @property
    def reference(self) -> str:
        """The reference for the predictions."""
        return "torch's" if self.find_version("torch") else "those of Python alone"

    def find_version(self, name: str) -> str | None:
        """Return the version of an installed Python package, or None."""
        return next((found.version for found in self.packages if found.name == name), None)


def parse_facts(*outputs: str) -> Facts:
    """Read the outputs of the inventory and of the probe.

    Raises:
        ImageError: one of them did not finish.
    """
    record: dict[str, Any] = {}
    for output in outputs:
        try:
            record |= json.loads(output.splitlines()[-1])
        except (IndexError, ValueError) as error:
            raise ImageError(
                f"the probe in the image gave no answer, only this output: {output[-500:]!r}"
            ) from error
    for name in ("boot", "launcher", "entry_file"):
        record[name] = ProbedFile(**record[name])
    if record["operating_system"]:
        record["operating_system"] = OperatingSystem(**record["operating_system"])
    for path, program in record["programs"].items():
        modules = tuple(Package(**module) for module in program["modules"])
        record["programs"][path] = Program(**program | {"modules": modules})
    for name in ("packages", "system_packages"):
        record[name] = tuple(Package(**package) for package in record[name])
    for name in ("inputs", "launch", "prediction"):
        record[name] = Attempt(**record[name])
    for name in ("code_failures", "package_failures"):
        record[name] = tuple(Failure(**failure) for failure in record[name])
    if trial := record["trial"]:
        run = ModelRun(**trial["result"]) if trial["result"] else None
        record["trial"] = Attempt(result=run, error=trial["error"])
    return Facts(**record)
