"""Build, test and push one image, from work tree to registry."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from launcher.errors import FlexpackError, ImageError, InputError
from launcher.image.attach import PROVENANCE, Attachment, attach, build_provenance
from launcher.image.engines import Builder, choose_engine
from launcher.image.engines.cloud_build import CloudBuild
from launcher.image.flavours import find_flavour
from launcher.image.plan import PLATFORM, BuildPlan, ImageOptions, plan_build
from launcher.image.record import BuiltImage, find_last_image, remember_image
from launcher.image.sbom import MEDIA_TYPE
from launcher.image.testing import prove_image
from launcher.image.tools import Report
from launcher.image.trial import ModelTrial


def build_image(
    options: ImageOptions,
    *,
    root: Path = Path(),
    engine: str | None = None,
    push: bool = False,
    test: bool = True,
    trial: ModelTrial | None = None,
    report: Report = lambda step: None,
) -> BuiltImage:
    """Build the project's image, and on request test and push it.

    Blocks, for many minutes if layers are not cached.

    Args:
        root: the folder that records the image and may have ``docker/`` and ``template/``; default:
            flexpack's own.
        engine: docker, buildah or cloudbuild; None takes the first that works.
        push: push the image.
        test: test the image before it is pushed. Cloud Build pushes what it builds, without a
            test before the push.
        trial: the user's model, for the test.
        report: called with warnings, and with each step of the build as it begins.

    Raises:
        InputError: an option is wrong, or no engine can be used here.
        ImageError: the build, the test or the push failed.
    """
    plan = plan_build(
        root, options, push=push, report=lambda warning: report(f"warning: {warning}")
    )
    builder = choose_engine(engine, local=not push).engine
    image = run_build(root, plan, builder, report)
    if not push:
        return image
    sbom = None
    if test and not isinstance(builder, CloudBuild):
        sbom = prove_image(root, image.reference, builder, trial=trial).sbom
    image = push_image(root, image, builder)
    attach_records(image, sbom, report)
    return image


def run_build(root: Path, plan: BuildPlan, engine: Builder, report: Report) -> BuiltImage:
    """Build an image and record it. Blocks, as ``build_image`` does.

    Args:
        root: the folder that records it.

    Raises:
        InputError: the engine does not support what the plan requires.
        ImageError: the build failed.
    """
    if plan.pip_conf_secret and not isinstance(engine, CloudBuild):
        raise InputError(
            f"--pip-conf-secret: only Cloud Build reads it; for {engine.name} give --pip-conf FILE"
        )
    last = find_last_image(root)
    try:
        with tempfile.TemporaryDirectory(prefix="flexpack-build-") as folder:
            plan.context.write(Path(folder))
            engine.build(plan, Path(folder), report)
    except ImageError as error:
        raise ImageError(f"{error}{_explain_failure(plan, str(error))}") from error
    image = BuiltImage(
        reference=plan.reference,
        build_args=plan.build_args,
        labels=plan.labels,
        context=plan.context.hash,
        engine=engine.name,
        disk_size_gb=last.disk_size_gb if last and last.is_of(plan) else None,
    )
    remember_image(root, image)
    return image


def push_image(root: Path, image: BuiltImage, engine: Builder) -> BuiltImage:
    """Push an image, record its digest and return it. Blocks, for minutes.

    Raises:
        ImageError: the push failed.
    """
    pushed = dataclasses.replace(image, digest=engine.push(image.reference))
    remember_image(root, pushed)
    return pushed


def attach_records(image: BuiltImage, sbom: Path | None, report: Report) -> None:
    """Attach provenance and, if it was tested, the bill of materials to a pushed image.

    If a registry refuses attachments, that is only reported, because the pushed image works without
    them.
    """
    try:
        if sbom:
            attach_sbom(image.pinned or "", sbom)
        provenance = build_provenance(image).encode()
        attach(image.pinned or "", Attachment(PROVENANCE, "provenance.json", provenance))
    except FlexpackError as error:
        report(
            f"warning: bill of materials and provenance are not attached: {error}. flexpack can "
            "log in only to Artifact Registry; for other registries use 'oras attach'"
        )
    else:
        what = "its bill of materials and its provenance" if sbom else "its provenance"
        report(f"Attached to the image: {what}.")


def attach_sbom(pinned: str, sbom: Path) -> None:
    """Attach a bill of materials to an image in a registry. Blocks.

    Raises:
        ImageError: the registry refuses.
        CredentialsError: it is Google's, and there are no credentials.
    """
    attach(pinned, Attachment(MEDIA_TYPE, "sbom.cdx.json", sbom.read_bytes()))


def _explain_failure(plan: BuildPlan, message: str) -> str:
    """Return what a failed build may have needed: the right base, or an index that has torch."""
    if "exec format error" in message:
        return f"\nA base is for another processor; use one for {PLATFORM} (--base)"
    flavour = find_flavour(plan.build_args["FLAVOUR"])
    is_of_torch = "locks/torch.txt" in message
    if not is_of_torch or flavour.is_on_pypi or "pip_conf" in plan.secrets or plan.pip_conf_secret:
        return ""
    return (
        f"\nIf pip found no torch {flavour.torch_version}: it is not on PyPI; give --pip-conf FILE "
        "with an extra-index-url that has it (pytorch.org, 'Get Started', names it)"
    )
