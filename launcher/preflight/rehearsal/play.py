"""Rehearse one launch on a local Dataflow started for it."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from launcher.emulator import daemon
from launcher.errors import FlexpackError, InputError
from launcher.extras import require_extras
from launcher.jobs.dataflow import Dataflow
from launcher.launch.options import LaunchConfig
from launcher.launch.request import build_launch_request
from launcher.package.spec import ContainerSpec
from launcher.preflight.rehearsal.messages import LocalTopics, read_messages
from launcher.preflight.rehearsal.rehearse import rehearse, write_images_file
from launcher.preflight.rehearsal.stage import BUCKET, Rehearsal, Stage
from launcher.preflight.subject import Tools

_PROJECT = "local-project"


@dataclass(frozen=True, kw_only=True)
class RehearsalOptions:
    """How a launch is rehearsed.

    Attributes:
        entry_file: the program that the launcher runs.
        launch_limit_sec: how long the launcher may take.
        sample: files that hold a streaming job's messages.
    """

    entry_file: Path
    launch_limit_sec: float = 120.0
    sample: tuple[str, ...] = ()


def play_rehearsal(
    config: LaunchConfig, spec: ContainerSpec, options: RehearsalOptions, tools: Tools
) -> Rehearsal:
    """Start a local Dataflow, rehearse the launch on it, and stop it. Blocks.

    Raises:
        MissingExtra: the local Dataflow, or what the template imports, is not installed.
        InputError: a file of the sample cannot be used.
    """
    is_own = tools.python == Path(sys.executable)
    require_extras("--rehearse", "emulator", *(["template"] if is_own else []))
    if options.sample and not (spec.metadata and spec.metadata.streaming):
        raise InputError(
            "--sample: holds messages, for a streaming template; a batch template reads a sample "
            "of its own input"
        )
    messages = read_messages(options.sample)
    environment = build_launch_request(config, spec).launch_parameter.environment
    workers = environment.sdk_container_image or spec.default_environment.sdk_container_image
    with tempfile.TemporaryDirectory(prefix="flexpack-rehearsal-") as name:
        folder = Path(name)
        report = folder / "report.jsonl"
        write_images_file(
            folder / "images.toml",
            images={spec.image, workers or spec.image},
            python=tools.python,
            root=tools.root,
            entry=options.entry_file,
            report=report,
        )
        try:
            info = daemon.start_detached(
                daemon.EmulatorOptions(
                    port=0, storage_port=0, data_dir=folder / "data", images=folder / "images.toml"
                )
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
                python=tools.python,
                launch_limit_sec=options.launch_limit_sec,
            )
            return rehearse(config, spec, stage)
        finally:
            daemon.stop(folder / "data")
