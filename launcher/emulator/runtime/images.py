"""The image registry: which interpreter of this machine stands for a container image.

Docker is not needed: an image is an interpreter, a working directory and environment variables, or
a built image with all of these (``oci``). ``local/flexpack`` is the kit's own environment,
``local/NAME`` a registered project (``projects``); a file ``images.toml`` names the others::

    ["europe-west1-docker.pkg.dev/my-project/repo/sample:1"]
    python  = "/path/to/python"                 # default: the emulator's own interpreter
    workdir = "/path/to/sample"                 # default: the current directory
    env     = { FLEX_TEMPLATE_PYTHON_PY_FILE = "getting_started.py" }

    ["europe-west1-docker.pkg.dev/my-project/flexpack/flexpack:1.0"]
    oci = "localhost/flexpack:1.0"              # instead of python and workdir; or "oci:FOLDER"
"""

from __future__ import annotations

import difflib
import importlib.util
import os
import platform
import re
import shutil
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from launcher.emulator.runtime import oci
from launcher.emulator.runtime.projects import KIT, Projects

PY_FILE = "FLEX_TEMPLATE_PYTHON_PY_FILE"
"""Variable of an image that names its entry file, as on Dataflow."""

_LOCAL = "local/"
_VERSION = re.compile(r"(:[^/@]*)?(@.*)?$")  # a tag and a digest
_ENTRY_FILE = ("template", "main.py")
_KEYS = ("python", "workdir", "env", "oci")

# What a container has anyway but a local process must be given.
_INHERITED = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TMPDIR",
    "TZ",
    "USER",
    # The GPU, if the machine has one.
    "CUDA_VISIBLE_DEVICES",
    "LD_LIBRARY_PATH",
)

# https://cloud.google.com/dataflow/docs/guides/using-custom-containers names both.
_STOCK_BEAM = re.compile(
    r"(?:gcr\.io/cloud-dataflow/v1beta3|(?:docker\.io/)?apache)"
    r"/beam_python(?P<python>[\d.]+)_sdk:(?P<beam>[^@]+)"
)


class UnknownImage(LookupError):  # noqa: N818
    """No environment stands for the image; the message says what to write into images.toml."""


class BadImagesFileError(ValueError):
    """``images.toml`` cannot be used; the message says where and why."""


@dataclass(frozen=True)
class Image:
    """The environment that stands for a container image. Attributes:
    root: the files of a built image; None if it uses those of this machine. ``workdir`` is its path
        on this machine, whatever it is called inside.
    """

    python: Path
    workdir: Path
    env: Mapping[str, str]
    root: Path | None = None

    def find_file(self, name: str) -> Path:
        """Return the path of the image's file ``name``, absolute or relative to its workdir."""
        if self.root is not None and name.startswith("/"):
            return self.root / name.lstrip("/")
        return self.workdir / name

    @property
    def runs_template(self) -> bool:
        """Whether the entry file is that of the kit's templates."""
        file = self.find_file(self.env.get(PY_FILE, ""))
        return (file.parent.name, file.name) == _ENTRY_FILE and (
            file.with_name("inference.py").is_file()
        )

    def process_env(
        self, endpoints: Mapping[str, str], *, own: Mapping[str, str] = os.environ
    ) -> dict[str, str]:
        """Return all variables of a process in this image.

        They are a clean base, ``own`` (the image's variables), those of the local services
        (``endpoints``), and the working directory on the module path. A built image gets nothing
        from this machine.
        """
        if self.root is not None:
            return {"HOME": "/root", **self.env, **endpoints}
        base = {name: own[name] for name in _INHERITED if name in own}
        path = os.pathsep.join((str(self.python.parent), own.get("PATH", os.defpath)))
        modules = [str(self.workdir), *filter(None, [self.env.get("PYTHONPATH")])]
        return {
            **base,
            "PATH": path,
            **self.env,
            **endpoints,
            "PYTHONPATH": os.pathsep.join(modules),
        }


@dataclass(frozen=True)
class ImageRegistry:
    """Images by reference."""

    local: Image
    images: Mapping[str, Image] = field(default_factory=dict)
    projects: Projects = field(default_factory=Projects)

    def find(self, reference: str) -> Image:
        """Return the environment that stands for an image.

        Raises:
            UnknownImage: nothing does.
        """
        if reference in self.images:
            return self.images[reference]
        if reference.startswith(_LOCAL):
            return self._find_local(_VERSION.sub("", reference).removeprefix(_LOCAL))
        near = difflib.get_close_matches(reference, self.images, n=1, cutoff=0.8)
        raise UnknownImage(
            f"image {reference!r} is not known here"
            + (f"; did you mean {near[0]!r}?" if near else ".")
            + " To run it, start the emulator with --images images.toml, and in that file:\n"
            f'["{reference}"]\n'
            'python  = "/path/to/python"    # an interpreter with the packages of the image\n'
            'workdir = "/path/to/template"  # the directory that is WORKDIR in the image\n'
            f'env     = {{ {PY_FILE} = "main.py" }}'
        )

    def _find_local(self, name: str) -> Image:
        if name == KIT:
            return self.local
        project = self.projects.find(name)
        if project is None:
            known = {f"{_LOCAL}{KIT}": "the environment of the local Dataflow"}
            known |= {f"{_LOCAL}{each.name}": each.folder for each in self.projects.list()}
            near = difflib.get_close_matches(f"{_LOCAL}{name}", known, n=1)
            raise UnknownImage(
                f"no project {name!r} is registered here"
                + (f"; did you mean {near[0]!r}?" if near else ".")
                + f" In the project's folder: flexpack emulator register {name}\nKnown are "
                + ", ".join(f"{image} ({what})" for image, what in known.items())
            )
        if project.missing:
            raise UnknownImage(
                f"the project {name!r} was registered with {project.missing}, which no longer "
                f"exists. In the project's folder: flexpack emulator register {name}"
            )
        return Image(Path(project.python), Path(project.folder), {PY_FILE: project.entry_file})


def describe_stock_image(reference: str) -> str | None:
    """Return the warning for a job whose workers run one of Beam's own images; None for others."""
    stock = _STOCK_BEAM.fullmatch(reference)
    if stock is None:
        return None
    here = ".".join(platform.python_version_tuple()[:2]), metadata.version("apache-beam")
    warning = (
        f"The workers run Beam's own image, {reference}, which does not contain the template. Here "
        "the packages of this environment stand for it; on Dataflow, importing anything but "
        "Beam's packages fails. For the workers to import what is in the template's image, set "
        "sdk_container_image (sdkContainerImage in the environment) to it."
    )
    if (stock["python"], stock["beam"]) != here:
        warning += " This environment has other versions: Python {} and Beam {}.".format(*here)
    return warning


def load_images(
    path: Path | None, *, workdir: Path, projects: Projects | None = None
) -> ImageRegistry:
    """Read ``images.toml``; without a path only ``local/...`` is known.

    Args:
        path: the file; paths in it are relative to its directory.
        workdir: working directory of ``local/flexpack``, and of images that name none.
        projects: the registered projects; none by default.

    Raises:
        BadImagesFileError: the file cannot be read, or an entry is wrong.
    """
    local = Image(Path(sys.executable), workdir, {PY_FILE: str(_template_entry_file())})
    projects = projects or Projects()
    if path is None:
        return ImageRegistry(local, projects=projects)
    try:
        document = tomllib.loads(path.read_text())
    except OSError as error:
        raise BadImagesFileError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadImagesFileError(f"{path}: not a TOML file: {error}") from error
    images = {
        reference: _parse_image(f"{path}: [{reference!r}]", entry, path.parent, workdir)
        for reference, entry in document.items()
    }
    return ImageRegistry(local, images, projects)


def _parse_image(where: str, entry: Any, folder: Path, workdir: Path) -> Image:
    if not isinstance(entry, dict):
        raise BadImagesFileError(
            f"{where}: an image is a table of {', '.join(_KEYS)}; is its name in quotes?"
        )
    for key in entry:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(_KEYS)}."
            raise BadImagesFileError(f"{where}: unknown key {key!r}; {hint}")
    env = entry.get("env", {})
    if not isinstance(env, dict) or not all(isinstance(value, str) for value in env.values()):
        raise BadImagesFileError(f"{where}: env must be a table of strings, not {env!r}")
    if "oci" in entry:
        return _mount_oci_image(where, entry, folder, env)
    directory = _path(where, "workdir", entry, folder) or workdir
    if not directory.is_dir():
        raise BadImagesFileError(f"{where}: workdir {str(directory)!r} is not a directory")
    return Image(_find_python(where, entry, folder), directory, env)


def _mount_oci_image(
    where: str, entry: Mapping[str, Any], folder: Path, env: Mapping[str, str]
) -> Image:
    reference = entry["oci"]
    if not isinstance(reference, str) or not reference:
        raise BadImagesFileError(f"{where}: oci must name an image, not {reference!r}")
    if other := sorted({"python", "workdir"}.intersection(entry)):
        raise BadImagesFileError(f"{where}: an image has its own {other[0]}; omit it")
    try:
        mounted = oci.mount_image(oci.resolve_layout(reference, folder))
    except oci.OciError as error:
        raise BadImagesFileError(f"{where}: oci {reference!r}: {error}") from error
    workdir = mounted.root / mounted.workdir.relative_to("/")
    return Image(mounted.python, workdir, {**mounted.env, **env}, mounted.root)


def _find_python(where: str, entry: Mapping[str, Any], folder: Path) -> Path:
    path = _path(where, "python", entry, folder)
    if path is None:
        return Path(sys.executable)
    name = entry["python"]
    found = shutil.which(name if os.sep not in name else path)
    if found is None:
        raise BadImagesFileError(f"{where}: python {name!r} is not an executable file")
    return Path(found)


def _path(where: str, key: str, entry: Mapping[str, Any], folder: Path) -> Path | None:
    value = entry.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise BadImagesFileError(f"{where}: {key} must be a path, not {value!r}")
    return (folder / Path(value).expanduser()).absolute()


def _template_entry_file() -> Path:
    # Found without importing it, because the emulator must not load code that runs in the image.
    spec = importlib.util.find_spec("template")
    if spec is None or not spec.submodule_search_locations:
        raise BadImagesFileError("the package 'template' is not installed with the launcher")
    return Path(spec.submodule_search_locations[0]) / "main.py"
