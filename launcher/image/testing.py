"""The proof that an image works: it is entered, both of its roles are played, it is measured."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import ImageError
from launcher.finding import Finding
from launcher.image.build import FOLDER
from launcher.image.checks import check_config, check_facts
from launcher.image.config import ImageConfig
from launcher.image.engines import LocalEngine
from launcher.image.flavours import find_flavour
from launcher.image.locks import read_lock
from launcher.image.probe import PROBE, Facts, parse_facts
from launcher.image.sbom import build_sbom
from launcher.image.size import ImageSize, read_size
from launcher.image_reference import read_reference

_PROBE_TIMEOUT_SEC = 900.0


@dataclass(frozen=True)
class ImageReport:
    """What testing an image found."""

    config: ImageConfig
    facts: Facts
    findings: tuple[Finding, ...]
    sbom: Path


def check_image(root: Path, reference: str, engine: LocalEngine) -> ImageReport:
    """Enter an image and play both of its roles. Blocks, for about a minute.

    Writes the image's bill of materials into build/image/.

    Raises:
        ImageError: there is no such image, or it has no interpreter.
    """
    config = engine.read_config(reference)
    flavour = find_flavour(_flavour_of(reference, config))
    program = (root / PROBE).read_text()
    facts = parse_facts(engine.run_python(reference, program, timeout_sec=_PROBE_TIMEOUT_SEC))
    findings = [*check_config(config), *check_facts(facts, config, lock=read_lock(root, flavour))]
    sbom = root / FOLDER / f"{read_reference(reference).tag or 'image'}.cdx.json"
    sbom.parent.mkdir(parents=True, exist_ok=True)
    sbom.write_text(build_sbom(reference, config, facts))
    return ImageReport(config, facts, tuple(findings), sbom)


def measure_image(reference: str, engine: LocalEngine) -> ImageSize:
    """Return the size of an image. Compresses and unpacks all of it: blocks for minutes."""
    with tempfile.TemporaryDirectory() as directory:
        engine.save(reference, directory)
        return read_size(Path(directory))


def _flavour_of(reference: str, config: ImageConfig) -> str:
    try:
        return config.labels["flexpack.flavour"]
    except KeyError as error:
        raise ImageError(
            f"{reference}: has no label flexpack.flavour; build it with docker/Dockerfile"
        ) from error
