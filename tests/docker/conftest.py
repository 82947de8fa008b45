"""A real image, built once with stand-ins for the images of the registries."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from launcher.image.build import build_image
from launcher.image.engines.docker import Docker
from launcher.image.plan import ImageOptions
from tests.docker import standins
from tests.support import PROJECT_ROOT

NAME = "localhost/flexpack-test"
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "buildah: builds a real image, minutes the first time; skipped without buildah"
    )


DOUBLE = """
import json
from pathlib import Path

from template.model import BaseModel


class Double(BaseModel):
    def load_model(self, path):
        return json.loads(Path(path).read_text())["factor"]

    def predict(self, df):
        return df["x"].astype(float) * self.ensure_model()
"""


@dataclass(frozen=True)
class Project:
    """A copy of the project's image part with a user's model, and how to build it here."""

    root: Path
    engine: str
    build_args: dict[str, str]
    pip_conf: Path | None
    volumes: tuple[Path, ...]

    def options(
        self, tag: str, *, name: str = NAME, code: tuple[Path, ...] = (), **build_args: str
    ) -> ImageOptions:
        """Return what a build of the CPU flavour needs on this machine."""
        return ImageOptions(
            name=name,
            flavour="cpu",
            tag=tag,
            code=code,
            build_args=self.build_args | build_args,
            pip_conf=self.pip_conf,
            ca_bundle=standins.find_ca_bundle(),
            volumes=self.volumes,
        )

    def build(self, tag: str, *, code: tuple[Path, ...] = (), **build_args: str) -> str:
        """Build the CPU flavour and return its reference."""
        options = self.options(tag, code=code, **build_args)
        return build_image(options, root=self.root, engine=self.engine, report=print).reference

    def build_changed(self, tag: str, name: str, *, code: tuple[Path, ...] = ()) -> str:
        """Build with one line more in a file of template/, and leave the file as it was."""
        path = self.root / "template" / name
        text = path.read_text()
        path.write_text(f"{text}\n# changed\n")
        try:
            return self.build(tag, code=code)
        finally:
            path.write_text(text)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    if problem := standins.find_problem():
        pytest.skip(f"no image can be built here: {problem}")
    root = tmp_path_factory.mktemp("project")
    for folder in ("docker", "template"):
        shutil.copytree(PROJECT_ROOT / folder, root / folder)
    (root / "template" / "models" / "double.py").write_text(DOUBLE)
    settings = standins.read_pip_settings()
    return Project(
        root=root,
        engine="buildah",
        build_args={
            "PYTHON_IMAGE": standins.make_python_image(),
            "BEAM_IMAGE": standins.make_beam_image(tmp_path_factory.mktemp("beam"), "2.77.0"),
            "LAUNCHER_IMAGE": standins.make_launcher_image(tmp_path_factory.mktemp("launcher")),
        },
        pip_conf=settings.write(tmp_path_factory.mktemp("pip") / "pip.conf"),
        volumes=settings.folders,
    )


@pytest.fixture(scope="session")
def docker_project(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same for Docker, whose store gets the stand-ins."""
    if problem := Docker().find_problem():
        pytest.skip(f"docker: {problem}")
    build_args = dict(project.build_args)
    if project.volumes:  # Docker's builder sees no folder of this machine.
        python = standins.add_folders(build_args["PYTHON_IMAGE"], project.volumes)
        build_args["PYTHON_IMAGE"] = python
    for image in build_args.values():
        standins.give_to_docker(image, tmp_path_factory.mktemp("image"))
    return replace(project, engine="docker", build_args=build_args, volumes=())


@pytest.fixture(scope="session")
def image(project: Project) -> str:
    """The image, of the CPU flavour. Its layers stay in buildah's store for the next time."""
    return project.build("one")


@dataclass(frozen=True)
class Registry:
    """A registry of this machine; ``host`` is its name and port."""

    host: str

    def find_digest(self, name: str, tag: str) -> str:
        """Return the digest of what a tag stands for; fail where there is no such tag."""
        request = urllib.request.Request(
            f"http://{self.host}/v2/{name}/manifests/{tag}",
            headers={"Accept": ", ".join(MANIFESTS)},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.headers["Docker-Content-Digest"]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed")
    config = tmp_path / "registry.yml"
    config.write_text(
        "version: 0.1\nlog: {level: info, formatter: json}\n"
        f"storage: {{filesystem: {{rootdirectory: {tmp_path / 'data'}}}}}\n"
        "http: {addr: 'localhost:0'}\n"
    )
    log = tmp_path / "registry.log"
    with log.open("w") as file:
        process = subprocess.Popen([program, "serve", str(config)], stdout=file, stderr=file)
    try:
        yield Registry(f"localhost:{_wait_for_port(log)}")
    finally:
        process.kill()
        process.wait()


def _wait_for_port(log: Path) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if found := re.search(r'listening on [^"]*:(\d+)"', log.read_text()):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"the registry does not listen:\n{log.read_text()}")
