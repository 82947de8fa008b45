"""The options of a launch, each declared once: name, type, default, help and REST field.

A declaration makes the flag of ``flexpack run``, ``build`` and ``check``, the field of the
request's environment, and the row in the documents' table. To add an option, add a field here.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from uuid import uuid4

from launcher.accelerators.catalogue import Accelerator
from launcher.google.rest import camel_case


@dataclass(frozen=True, kw_only=True)
class Option:
    """What is declared about one option besides its name and type.

    Attributes:
        metavar: its value's name in the help.
        rest: the field of the runtime environment that it sets, directly, or through
        ``launcher.launch.environment`` if its name differs; None if it sets none.
        rest_value: what a switch sets the field to.
        commas: whether one flag may hold several values, between commas.
        beam_names: Beam's pipeline options for the same thing.
    """

    help: str
    metavar: str | None = None
    rest: str | None = ""
    rest_value: Any = True
    commas: bool = False
    beam_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Declared:
    """An option of a record: the field's name and type, and what is declared."""

    name: str
    type: Any
    option: Option

    @property
    def rest(self) -> str | None:
        """The field of the runtime environment that it sets."""
        return self.name if self.option.rest == "" else self.option.rest

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return f"--{self.name.replace('_', '-')}"


def _option(help_text: str, *, default: Any = None, **declared: Any) -> Any:
    metadata = {"option": Option(help=help_text, **declared)}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class EnvironmentOptions:
    """The user's options for the environment, named like gcloud's flags.

    ``accelerator``, ``disk_size_gb`` and ``sdk_container_image`` have no gcloud flag.
    """

    accelerator: Accelerator | None = _option(
        "GPUs of each worker, for example nvidia-l4:1; see 'flexpack accelerators'",
        metavar="TYPE[:COUNT[:DRIVER]][:mps]",
        rest="additional_experiments",
        beam_names=("worker_accelerator",),
    )
    worker_machine_type: str | None = _option(
        "default with --accelerator: the smallest that supports the GPUs",
        metavar="TYPE",
        rest="machine_type",
        beam_names=("machine_type",),
    )
    num_workers: int | None = _option("workers to start with", metavar="N")
    max_workers: int | None = _option(
        "most workers at once", metavar="N", beam_names=("max_num_workers",)
    )
    disk_size_gb: int | None = _option(
        "of each worker", metavar="GB", beam_names=("worker_disk_size_gb", "disk_size")
    )
    sdk_container_image: str | None = _option("the workers' image", metavar="IMAGE")
    launcher_machine_type: str | None = _option("of the launcher's VM", metavar="TYPE")
    staging_location: str | None = _option(
        "for the job's files, gs://BUCKET/FOLDER (default: a bucket that Dataflow makes)",
        metavar="GCS_FOLDER",
    )
    temp_location: str | None = _option("default: staging location", metavar="GCS_FOLDER")
    worker_region: str | None = _option("default: the job's", metavar="REGION")
    worker_zone: str | None = _option(
        "default: Dataflow chooses one", metavar="ZONE", beam_names=("zone",)
    )
    service_account_email: str | None = _option(
        "account that the launcher and the workers run as",
        metavar="EMAIL",
        beam_names=("service_account",),
    )
    network: str | None = _option("of launcher and workers", metavar="NETWORK")
    subnetwork: str | None = _option(
        "regions/REGION/subnetworks/NAME, or its URL", metavar="SUBNETWORK"
    )
    disable_public_ips: bool = _option(
        "give workers private addresses only",
        default=False,
        rest="ip_configuration",
        rest_value="WORKER_IP_PRIVATE",
        beam_names=("use_public_ips", "no_use_public_ips", "ip_configuration"),
    )
    dataflow_kms_key: str | None = _option(
        "that encrypts the job's data",
        metavar="KEY",
        rest="kms_key_name",
        beam_names=("kms_key_name", "kms_key"),
    )
    enable_streaming_engine: bool = _option(
        "keep a streaming job's state in the service",
        default=False,
    )
    additional_experiments: tuple[str, ...] = _option(
        "of Dataflow, between commas",
        default=(),
        metavar="NAME,...",
        commas=True,
        beam_names=("experiments",),
    )
    additional_pipeline_options: tuple[str, ...] = _option(
        "repeat the flag for each; the value may hold commas",
        default=(),
        metavar="NAME=VALUE",
    )
    additional_user_labels: Mapping[str, str] = _option(
        "of the job, between commas",
        default={},
        metavar="KEY=VALUE,...",
        commas=True,
        beam_names=("labels",),
    )


@dataclass(frozen=True, kw_only=True)
class LaunchConfig(EnvironmentOptions):
    """All options of a launch, named like gcloud's flags.

    Attributes:
        template_file_gcs_location: the container spec, ``gs://BUCKET/OBJECT.json``.
        parameters: the template's parameters.
        launch_id: marks the job as this launch's. You can pass your own, for example the id of
        a task run: a repeated task then finds the job of its first attempt while that job runs.
        launch_timeout_sec: how long the service waits for the launcher; None uses its default.
        right_fitting: whether only the prediction step gets the accelerator, while the other steps
            run on workers without one.
    """

    job_name: str
    template_file_gcs_location: str
    project: str
    region: str
    parameters: Mapping[str, str] = _option(
        "a parameter of the template; repeat the flag for each. The value may hold commas",
        default={},
        metavar="KEY=VALUE",
        rest=None,
    )
    launch_id: str = field(default_factory=lambda: uuid4().hex)
    right_fitting: bool = _option(
        "give the accelerator to the prediction step only, not to every worker",
        default=False,
        rest=None,
    )
    launch_timeout_sec: int | None = _option(
        "how long the service waits for the template's launcher", metavar="SECONDS", rest=None
    )


def list_options(record: type[EnvironmentOptions]) -> Iterator[Declared]:
    """Yield the options that a record declares, its base's first."""
    types = typing.get_type_hints(record)
    for each in fields(record):
        if option := each.metadata.get("option"):
            yield Declared(each.name, types[each.name], option)


def build_options_table() -> str:
    """Return the table of options for the documentation, in Markdown."""
    lines = ["| flag | Python | REST | meaning |", "|---|---|---|---|"]
    for declared in list_options(LaunchConfig):
        option = declared.option
        rest = f"`environment.{camel_case(declared.rest)}`" if declared.rest else ""
        metavar = f" {option.metavar}" if option.metavar else ""
        lines.append(f"| `{declared.flag}{metavar}` | `{declared.name}` | {rest} | {option.help} |")
    return "\n".join(lines)
