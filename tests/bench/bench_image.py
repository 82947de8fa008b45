"""Measures what an image costs: bytes and time for each change, and each framework's size.

``make bench-image`` builds real images, pushes them to a registry of this machine
(docker-registry) and prints three tables: what a change of code, of a package and of Beam pushes;
what each extra of pyproject.toml adds to an image; and what each recipe of docker/frameworks.md
adds. Each image for the last two tables also predicts with a model of its kind.
``ARGS=--stand-ins`` builds on stand-ins for the bases, with buildah, if no registry can be reached;
``--engine`` and ``--pip-conf`` are those of ``flexpack image build``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from packaging.requirements import Requirement

from launcher.image.build import build_image
from launcher.image.engines import LocalEngine, choose_engine
from launcher.image.engines.cloud_build import CloudBuild
from launcher.image.flavours import find_flavour
from launcher.image.projects import read_projects
from launcher.image.resolve import write_locks
from launcher.image.resolve_project import write_project_lock
from launcher.image.testing import prove_image
from launcher.image.tools import run_tool
from launcher.image.trial import ModelTrial
from launcher.image.uv import read_pip_conf
from tests.bench.frameworks import FRAMEWORKS, ROWS
from tests.bench.model_files import MODELS, save_model
from tests.docker import standins
from tests.docker.project import Project, make_project
from tests.docker.registry import Registry, serve_registry
from tests.support import PROJECT_ROOT

BEAM, OTHER_BEAM = "2.77.0", "2.76.0"
_TABLES = ("changes", "extras", "frameworks")


@dataclass(frozen=True)
class Row:
    """One image: the seconds to build and push it, and the bytes that were new to the registry."""

    name: str
    built_sec: float
    pushed_sec: float
    pushed_bytes: int
    image_bytes: int


@dataclass
class Bench:
    """Builds and pushes; ``known`` are the blobs that the registry has."""

    project: Project
    registry: Registry
    known: set[str] = field(default_factory=set)
    references: list[str] = field(default_factory=list)

    def measure(self, name: str, tag: str, flavour: str, code: Path | None, **args: str) -> Row:
        """Build an image and push it. Blocks for minutes."""
        repository = f"{self.registry.host}/flexpack"
        options = self.project.options(tag, name=repository, code=(code,) if code else (), **args)
        start = time.monotonic()
        build_image(
            replace(options, flavour=flavour),
            root=self.project.root,
            engine=self.project.engine,
            report=lambda step: print(f"    {step}", file=sys.stderr),
        )
        built = time.monotonic()
        self.engine.push(f"{repository}:{tag}")
        pushed = time.monotonic()
        blobs = self.registry.read_blobs("flexpack", tag)
        new = sum(size for digest, size in blobs.items() if digest not in self.known)
        self.known |= blobs.keys()
        self.references.append(f"{repository}:{tag}")
        row = Row(name, built - start, pushed - built, new, sum(blobs.values()))
        print(row, file=sys.stderr)
        return row

    def name(self, tag: str) -> str:
        """Return an image's reference."""
        return f"{self.registry.host}/flexpack:{tag}"

    def run(self, tag: str, program: str) -> str:
        """Run a program in an image and return its output. Blocks."""
        return self.engine.run_python(self.name(tag), program, timeout_sec=600)

    def remove_images(self) -> None:
        """Remove the images from the engine's store; shared layers stay for the next run."""
        run_tool([self.engine.name, "rmi", *self.references], timeout_sec=600)

    @property
    def engine(self) -> LocalEngine:
        engine = choose_engine(self.project.engine, local=True).engine
        assert not isinstance(engine, CloudBuild)
        return engine

    def lock(self, folder: Path, flavour: str, requirements: Sequence[str]) -> None:
        """Write a project's requirements and lock them."""
        (folder / "requirements.in").write_text("".join(f"{line}\n" for line in requirements))
        (project,) = read_projects([folder])
        write_project_lock(self.project.root, project, find_flavour(flavour), environ=self.environ)

    @property
    def environ(self) -> dict[str, str]:
        """The variables of uv; --pip-conf names an index of the user's own."""
        own = self.project.pip_conf
        return {**os.environ, **(read_pip_conf(own) if own and not self.project.build_args else {})}


def measure_changes(bench: Bench, folder: Path) -> Iterator[Row]:
    """Yield what each change to a project's image pushes, on the CPU flavour."""
    root = bench.project.root
    standins.write(folder / "shop" / "__init__.py", "")
    standins.write(folder / "shop" / "model.py", "FACTOR = 1\n")

    def measure(name: str, tag: str, **args: str) -> Row:
        return bench.measure(name, tag, "cpu", folder, **args)

    yield measure("all of it, the first time", "first")
    (folder / "shop" / "model.py").write_text("FACTOR = 2\n")
    yield measure("your code: one file of a project of `CODE=`", "code")
    yield measure("no change, under another tag", "tag")
    source = root / "template" / "files.py"
    source.write_text(f"{source.read_text()}\n# changed\n")
    yield measure("flexpack's code: one file of `template/`", "kit")
    bench.lock(folder, "cpu", ["scikit-learn"])
    yield measure("a package of your project: scikit-learn, with scipy and joblib", "package")
    requirements = root / "docker" / "requirements.in"
    requirements.write_text(requirements.read_text().replace(BEAM, OTHER_BEAM))
    write_locks(root, [find_flavour("cpu")], environ=bench.environ)
    bench.lock(folder, "cpu", ["scikit-learn"])
    image = f"docker.io/apache/beam_python3.11_sdk:{OTHER_BEAM}"
    if bench.project.build_args:
        image = standins.make_beam_image(folder.parent / "other-beam", OTHER_BEAM)
    name = f"Beam: {OTHER_BEAM} instead of {BEAM}, with scikit-learn above it"
    yield measure(name, "beam", BEAM_IMAGE=image)


@dataclass(frozen=True)
class ExtraRow:
    """What an extra adds to each flavour, in bytes; None if the flavour cannot hold it."""

    name: str
    packages: tuple[str, ...]
    added: tuple[int | None, ...]
    predicted: int


def measure_extras(bench: Bench, folder: Path, names: Sequence[str]) -> Iterator[ExtraRow]:
    """Yield what each extra adds, after its image has predicted with a file of that kind."""
    flavours = ("cpu", "no-torch")
    for flavour in flavours:
        bench.measure(flavour, flavour, flavour, None)
    extras = read_extras()
    for name in names:
        own = folder / name
        own.mkdir()
        path, parameters = save_model(name, own)
        added: list[int | None] = []
        rows = 0
        for flavour in flavours:
            if flavour == "no-torch" and MODELS[name].needs_torch:
                added.append(None)
                continue
            (own / "requirements.txt").unlink(missing_ok=True)
            bench.lock(own, flavour, extras[name])
            row = bench.measure(name, f"{flavour}-{name}", flavour, own)
            added.append(row.pushed_bytes)
            trial = ModelTrial(
                model_path=str(path), input=str(own / "rows.csv"), parameters=parameters
            )
            rows += predict(bench, f"{flavour}-{name}", trial)
        packages = tuple(Requirement(line).name for line in extras[name])
        yield ExtraRow(name, packages, tuple(added), rows)


def measure_frameworks(bench: Bench, folder: Path, names: Sequence[str]) -> Iterator[ExtraRow]:
    """Yield what each recipe adds to an image without torch, after its class has predicted."""
    flavour = "no-torch"
    bench.measure(flavour, flavour, flavour, None)
    (folder / "rows.csv").write_text(ROWS)
    for name in names:
        framework = FRAMEWORKS[name]
        own = framework.write(folder)
        lines = (own / "requirements.in").read_text().splitlines()
        bench.lock(own, flavour, lines)
        tag = framework.folder
        row = bench.measure(name, tag, flavour, own)
        path = framework.save_model(partial(bench.run, tag), folder)
        trial = ModelTrial(
            model_class=framework.model_class,
            model_path=str(path),
            input=str(folder / "rows.csv"),
        )
        yield ExtraRow(name, tuple(lines), (None, row.pushed_bytes), predict(bench, tag, trial))


def predict(bench: Bench, tag: str, trial: ModelTrial) -> int:
    """Test the image with the model and return how many rows it predicted."""
    report = prove_image(bench.project.root, bench.name(tag), bench.engine, trial=trial)
    assert report.facts.trial and report.facts.trial.result
    assert report.facts.trial.result.failed == 0
    return report.facts.trial.result.rows


def read_extras() -> dict[str, list[str]]:
    """Return what each extra of pyproject.toml installs."""
    text = (PROJECT_ROOT / "pyproject.toml").read_text()
    found: dict[str, list[str]] = tomllib.loads(text)["project"]["optional-dependencies"]
    return found


def format_changes(rows: Sequence[Row]) -> str:
    lines = ["| change | build | push | bytes pushed |", "|---|---|---|---|"]
    for row in rows:
        seconds = f"{row.built_sec:.0f} s | {row.pushed_sec:.1f} s"
        lines.append(f"| {row.name} | {seconds} | {size(row.pushed_bytes)} |")
    return "\n".join(lines)


def format_extras(rows: Sequence[ExtraRow]) -> str:
    lines = ["| extra | packages | `cpu` | `no-torch` | predicted |", "|---|---|---|---|---|"]
    for row in rows:
        added = " | ".join("-" if each is None else f"+{size(each)}" for each in row.added)
        packages = ", ".join(f"`{name}`" for name in row.packages)
        lines.append(f"| `{row.name}` | {packages} | {added} | {row.predicted} rows |")
    return "\n".join(lines)


def size(count: int) -> str:
    return f"{count / 1e6:,.0f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} KB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stand-ins", action="store_true", help="for the bases; needs buildah")
    parser.add_argument("--engine", default=None, help="docker or buildah")
    parser.add_argument("--pip-conf", type=Path, help="of an index that has torch for the CPU")
    parser.add_argument("--only", choices=_TABLES, action="append", help="one table")
    parser.add_argument("--extras", default=",".join(MODELS), help="some of them, by commas")
    parser.add_argument("--frameworks", default=",".join(FRAMEWORKS), help="some of them")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flexpack-bench-") as directory:
        folder = Path(directory)
        project = make_project(folder) if args.stand_ins else copy_project(folder, args)
        with serve_registry(folder / "registry") as registry:
            bench = Bench(project, registry)
            try:
                if "extras" in (args.only or _TABLES):
                    (folder / "extras").mkdir()
                    extras = measure_extras(bench, folder / "extras", args.extras.split(","))
                    print(format_extras(list(extras)), flush=True)
                if "frameworks" in (args.only or _TABLES):
                    (folder / "frameworks").mkdir()
                    names = args.frameworks.split(",")
                    rows = measure_frameworks(bench, folder / "frameworks", names)
                    print(format_extras(list(rows)), flush=True)
                if "changes" in (args.only or _TABLES):
                    print(format_changes(list(measure_changes(bench, folder / "own"))), flush=True)
            finally:
                bench.remove_images()


def copy_project(folder: Path, args: argparse.Namespace) -> Project:
    """Return the project with the real bases, which must be available from their registries."""
    for name in ("docker", "template"):
        shutil.copytree(PROJECT_ROOT / name, folder / "project" / name)
    engine = choose_engine(args.engine, local=True).engine.name
    return Project(folder / "project", engine, {}, args.pip_conf, ())


if __name__ == "__main__":
    main()
