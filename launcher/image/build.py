"""One image from work tree to registry, and the proof that it works."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from launcher.errors import ImageError, InputError
from launcher.image.checks import check_config, check_facts
from launcher.image.config import ImageConfig
from launcher.image.engines import Builder, LocalEngine
from launcher.image.flavours import default_flavour, find_flavour
from launcher.image.git import build_version, legal_tag, read_git_state
from launcher.image.locks import read_lock
from launcher.image.names import split_reference
from launcher.image.plan import DOCKERFILE, BuildPlan, build_args
from launcher.image.probe import PROBE, Facts, parse_facts
from launcher.image.record import FOLDER, ImageRecord, write_record
from launcher.image.sbom import build_sbom, format_sbom
from launcher.image.size import ImageSize, read_size
from launcher.preflight.finding import Finding

_PROBE_TIMEOUT_SEC = 900.0


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What a user can say about a build.

    Attributes:
        name: of the image, without a tag.
        tag: None infers it from git.
        build_args: values of the Dockerfile's ARGs.
        pip_conf: pip's configuration during the build, for an index of your own.
        ca_bundle: certificates for that index; pip_conf names them as /etc/flexpack/ca.pem.
        volumes: folders that the build may read; buildah only.
    """

    name: str
    flavour: str
    tag: str | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    pip_conf: Path | None = None
    ca_bundle: Path | None = None
    volumes: tuple[Path, ...] = ()


@dataclass(frozen=True)
class TestReport:
    """What testing an image found."""

    __test__ = False  # It is no test of pytest's.

    config: ImageConfig
    facts: Facts
    findings: tuple[Finding, ...]
    sbom: Path


def plan_build(root: Path, options: BuildOptions) -> tuple[BuildPlan, ImageRecord]:
    """Return what to build, and how it will be remembered. Reads git and the lock.

    Raises:
        InputError: an option is wrong, or this is no project that has an image.
    """
    if not (root / DOCKERFILE).exists():
        raise InputError(f"{root / DOCKERFILE}: no such file; run this in the project's root")
    flavour = find_flavour(options.flavour)
    lock = read_lock(root, flavour)
    _, tag_in_name, digest = split_reference(options.name)
    if tag_in_name or digest:
        raise InputError(f"--image {options.name!r}: give the name alone, and the tag by --tag")
    git = None
    if options.tag:
        version = legal_tag(options.tag)
        if version != options.tag:
            raise InputError(f"--tag {options.tag!r}: not legal; {version!r} would be")
    else:
        git = read_git_state(root)
        version = build_version(git)
        if options.flavour != default_flavour():
            version = f"{version}-{options.flavour}"
    reference = f"{options.name}:{version}"
    secrets = {"pip_conf": options.pip_conf, "ca_bundle": options.ca_bundle}
    for name, path in secrets.items():
        if path is not None and not path.is_file():
            raise InputError(f"--{name.replace('_', '-')} {str(path)!r}: no such file")
    plan = BuildPlan(
        root=root,
        reference=reference,
        build_args=build_args(flavour, lock, version=version, git=git, own=options.build_args),
        secrets={name: path.absolute() for name, path in secrets.items() if path is not None},
        volumes=options.volumes,
    )
    record = ImageRecord(reference=reference, version=version, flavour=flavour.name, engine="")
    return plan, record


def build_image(
    plan: BuildPlan, record: ImageRecord, engine: Builder, *, push: bool
) -> ImageRecord:
    """Build an image, push it if asked, and remember it. Blocks for minutes.

    Returns:
        The record, with the digest if the image was pushed.
    """
    engine.build(plan)
    digest = engine.push(plan.reference) if push else None
    record = replace(record, engine=engine.name, digest=digest)
    write_record(plan.root, record)
    return record


def check_image(root: Path, reference: str, engine: LocalEngine) -> TestReport:
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
    _, tag, _ = split_reference(reference)
    sbom = root / FOLDER / f"{tag or 'image'}.cdx.json"
    sbom.parent.mkdir(parents=True, exist_ok=True)
    sbom.write_text(format_sbom(build_sbom(reference, config, facts)))
    return TestReport(config, facts, tuple(findings), sbom)


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
