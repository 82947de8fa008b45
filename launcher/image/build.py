"""One image from work tree to registry, and the memory of the last one.

The last build is in ``build/image/image.json``, which is read when a template is made.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import ImageError
from launcher.image.engines import Builder, choose_engine
from launcher.image.flavours import find_flavour
from launcher.image.plan import BuildPlan, ImageOptions, plan_build
from launcher.image_reference import pin

FOLDER = Path("build") / "image"
_LAST = FOLDER / "image.json"


@dataclass(frozen=True, kw_only=True)
class BuiltImage:
    """One built image.

    Attributes:
        build_args: values of the Dockerfile's ARGs.
        labels: what it says of itself beside the Dockerfile's own labels.
        context: hash of the files that it is made of.
        digest: its name in the registry; None until it is pushed.
        disk_size_gb: the smallest disk for a worker of it; None until it is measured.
    """

    reference: str
    build_args: Mapping[str, str]
    labels: Mapping[str, str]
    context: str
    engine: str
    digest: str | None = None
    disk_size_gb: int | None = None

    def is_of(self, plan: BuildPlan) -> bool:
        """Return whether this is what the plan would make."""
        mine = (self.reference, self.build_args, self.labels, self.context)
        return mine == (plan.reference, plan.build_args, plan.labels, plan.context)

    @property
    def pinned(self) -> str | None:
        """The reference by digest, for a container spec; None until the image is pushed."""
        return pin(self.reference, self.digest) if self.digest else None


def build_image(
    options: ImageOptions, *, root: Path = Path(), engine: str | None = None, push: bool = False
) -> BuiltImage:
    """Build the project's image, and push it on request.

    Blocks, for many minutes where layers are not cached; the engine's output goes to the terminal.

    Args:
        root: the project's root, with ``docker/`` and ``template/``.
        engine: docker, buildah or cloudbuild; None takes the first that works.

    Raises:
        InputError: an option is wrong, or no engine can be used here.
        ImageError: the build or the push failed.
    """
    plan = plan_build(root, options, push=push)
    return run_build(plan, choose_engine(engine, local=not push).engine, push=push)


def run_build(plan: BuildPlan, engine: Builder, *, push: bool) -> BuiltImage:
    """Build an image, push it on request, and remember it. Blocks, as ``build_image`` does."""
    last = find_last_image(plan.root)
    try:
        engine.build(plan)
    except ImageError as error:
        raise ImageError(f"{error}{_explain_index(plan)}") from error
    image = BuiltImage(
        reference=plan.reference,
        build_args=plan.build_args,
        labels=plan.labels,
        context=plan.context,
        engine=engine.name,
        digest=engine.push(plan.reference) if push else None,
        disk_size_gb=last.disk_size_gb if last and last.is_of(plan) else None,
    )
    remember_image(plan.root, image)
    return image


def _explain_index(plan: BuildPlan) -> str:
    """Return what a failed build may have lacked: pip's index of a flavour that is not on PyPI."""
    flavour = find_flavour(plan.build_args["FLAVOUR"])
    if flavour.is_on_pypi or "pip_conf" in plan.secrets:
        return ""
    return (
        f"\nIf pip found no torch {flavour.torch_version}: it is not on PyPI; give --pip-conf FILE "
        "with an extra-index-url that has it (pytorch.org, 'Get Started', names it)"
    )


def remember_image(root: Path, image: BuiltImage) -> None:
    """Make an image the last one that was built."""
    path = root / _LAST
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dataclasses.asdict(image), indent=2) + "\n")


def remember_disk_size(root: Path, reference: str, disk_size_gb: int) -> None:
    """Note the disk that workers of the last image need, if this is its reference."""
    last = find_last_image(root)
    if last and last.reference == reference:
        remember_image(root, dataclasses.replace(last, disk_size_gb=disk_size_gb))


def find_last_image(root: Path) -> BuiltImage | None:
    """Return the last image that was built; None without one that this version can read."""
    try:
        return BuiltImage(**json.loads((root / _LAST).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
