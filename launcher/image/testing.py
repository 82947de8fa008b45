"""Tests that an image works: enters it, plays both of its roles, and measures it."""

from __future__ import annotations

import json
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import ImageError
from launcher.finding import Finding, format_findings, select_errors
from launcher.image.checks import check_config, check_facts
from launcher.image.config import ImageConfig
from launcher.image.engines import LocalEngine
from launcher.image.flavours import find_flavour
from launcher.image.locks import (
    parse_requirements,
    read_lock,
    read_requirement_lines,
    select_requirements,
)
from launcher.image.probe import INVENTORY, PROBE, Facts, parse_facts
from launcher.image.record import FOLDER
from launcher.image.sbom import build_sbom
from launcher.image.size import ImageSize, read_size
from launcher.image.trial import ModelTrial, PreparedTrial, prepared
from launcher.image_reference import read_reference
from launcher.kit import find_kit

_PROBE_TIMEOUT_SEC = 900.0
_DIGEST_LENGTH = 12


@dataclass(frozen=True)
class ImageReport:
    """What testing an image found."""

    config: ImageConfig
    facts: Facts
    findings: tuple[Finding, ...]
    sbom: Path


def check_image(
    root: Path, reference: str, engine: LocalEngine, *, trial: ModelTrial | None = None
) -> ImageReport:
    """Enter an image, import its code, play both of its roles. Blocks, for about a minute.

    Pulls an image that is not on this machine. Writes its bill of materials into build/image/.

    Args:
        trial: the user's model, which is tried too.

    Raises:
        InputError: a file of the trial does not exist.
        ImageError: there is no such image, or it has no interpreter.
    """
    engine.fetch(reference)
    config = engine.read_config(reference)
    flavour = find_flavour(_flavour_of(reference, config))
    kit = find_kit(root)
    lines = select_requirements(read_requirement_lines(kit), flavour)
    named = list(parse_requirements(lines))
    with prepared(trial) if trial else nullcontext(PreparedTrial(None, {})) as ready:
        inventory = engine.run_python(
            reference, (kit / INVENTORY).read_text(), timeout_sec=_PROBE_TIMEOUT_SEC
        )
        roles = engine.run_python(
            reference,
            (kit / PROBE).read_text(),
            arguments=[json.dumps({"packages": named, "trial": ready.options})],
            mounts=ready.mounts,
            timeout_sec=_PROBE_TIMEOUT_SEC,
        )
    facts = parse_facts(inventory, roles)
    findings = [*check_config(config), *check_facts(facts, config, lock=read_lock(kit, flavour))]
    name = read_reference(reference)
    digest = (name.digest or "").removeprefix("sha256:")[:_DIGEST_LENGTH]
    sbom = root / FOLDER / f"{name.tag or digest or 'image'}.cdx.json"
    sbom.parent.mkdir(parents=True, exist_ok=True)
    sbom.write_text(build_sbom(reference, config, facts))
    return ImageReport(config, facts, tuple(findings), sbom)


def prove_image(
    root: Path, reference: str, engine: LocalEngine, *, trial: ModelTrial | None = None
) -> ImageReport:
    """Test an image as ``check_image`` does, and refuse it if it has errors. Blocks.

    Raises:
        ImageError: it has errors, which are in the message.
    """
    report = check_image(root, reference, engine, trial=trial)
    if errors := select_errors(report.findings):
        raise ImageError(
            f"{reference}: is not pushed, because it would fail:\n{format_findings(errors)}"
        )
    return report


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
