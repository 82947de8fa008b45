"""A copy of the project's image files, and how to build an image from them on this machine."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from launcher.image.build import build_image
from launcher.image.plan import ImageOptions
from tests.docker import standins
from tests.support import PROJECT_ROOT

NAME = "localhost/flexpack-test"
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
    """A copy of the project's image files with a user's model, and how to build it here."""

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
        """Build with one more line in a file of template/, then restore the file."""
        path = self.root / "template" / name
        text = path.read_text()
        path.write_text(f"{text}\n# changed\n")
        try:
            return self.build(tag, code=code)
        finally:
            path.write_text(text)


def make_project(folder: Path) -> Project:
    """Copy docker/ and template/ into an empty folder, and make the stand-ins for its bases."""
    root = folder / "project"
    for name in ("docker", "template"):
        shutil.copytree(PROJECT_ROOT / name, root / name)
    settings = standins.read_pip_settings()
    return Project(
        root=root,
        engine="buildah",
        build_args={
            "PYTHON_IMAGE": standins.make_python_image(),
            "BEAM_IMAGE": standins.make_beam_image(folder / "beam", "2.77.0"),
            "LAUNCHER_IMAGE": standins.make_launcher_image(folder / "launcher"),
        },
        pip_conf=settings.write(folder / "pip.conf"),
        volumes=settings.folders,
    )
