"""``flexpack check --rehearse``: a local Dataflow of its own, for one launch."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from launcher.emulator import daemon
from launcher.errors import FlexpackError, InputError
from launcher.jobs.dataflow import Dataflow
from launcher.launch.request import LaunchConfig, build_launch_request
from launcher.package.spec import ContainerSpec
from launcher.preflight.rehearsal.messages import LocalTopics, read_messages
from launcher.preflight.rehearsal.rehearse import rehearse, write_images_file
from launcher.preflight.rehearsal.stage import BUCKET, Rehearsal, Stage

_PROJECT = "local-project"


def play_rehearsal(
    config: LaunchConfig,
    spec: ContainerSpec,
    *,
    entry_file: Path,
    root: Path,
    python: Path,
    launch_limit_sec: float,
    sample: Sequence[str] = (),
) -> Rehearsal:
    """Start a local Dataflow, rehearse the launch on it, and stop it. Blocks.

    Args:
        sample: files that hold a streaming job's messages.

    Raises:
        InputError: a file of the sample cannot be used.
    """
    if sample and not (spec.metadata and spec.metadata.streaming):
        raise InputError(
            "--sample: holds messages, for a streaming template; a batch template reads a sample "
            "of its own input"
        )
    messages = read_messages(sample)
    environment = build_launch_request(config, spec).launch_parameter.environment
    workers = environment.sdk_container_image or spec.default_environment.sdk_container_image
    with tempfile.TemporaryDirectory(prefix="flexpack-rehearsal-") as name:
        folder = Path(name)
        report = folder / "report.jsonl"
        write_images_file(
            folder / "images.toml",
            images={spec.image, workers or spec.image},
            python=python,
            root=root,
            entry=entry_file,
            report=report,
        )
        try:
            info = daemon.start_detached(
                port=0, storage_port=0, data_dir=folder / "data", images=folder / "images.toml"
            )
        except daemon.EmulatorError as problem:
            raise FlexpackError(f"--rehearse: {problem}") from problem
        try:
            client = storage.Client(
                project=_PROJECT,
                credentials=AnonymousCredentials(),
                client_options={"api_endpoint": info.storage_endpoint},
            )
            stage = Stage(
                dataflow=Dataflow(_PROJECT, config.region, endpoint=info.dataflow_endpoint),
                bucket=client.create_bucket(BUCKET),
                topics=LocalTopics(info.pubsub_host, _PROJECT) if info.pubsub_host else None,
                messages=messages,
                report=report,
                python=python,
                launch_limit_sec=launch_limit_sec,
            )
            return rehearse(config, spec, stage)
        finally:
            daemon.stop(folder / "data")
