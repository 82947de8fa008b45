"""Flags that several commands have."""

from __future__ import annotations

import argparse

from launcher.accelerators.catalogue import Accelerator
from launcher.arguments.parser import Items, KeyValues, Number


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """Add the template's parameters, and how the accelerator is asked for."""
    parser.add_argument(
        "--parameters",
        action=KeyValues,
        default={},
        metavar="KEY=VALUE",
        help="a parameter of the template; repeat the flag for each. The value may hold commas",
    )
    parser.add_argument(
        "--right-fitting",
        action="store_true",
        help="give the accelerator to the prediction step only, not to every worker",
    )


def add_ignore(parser: argparse.ArgumentParser) -> None:
    """Add the findings that do not count."""
    parser.add_argument(
        "--ignore",
        action=Items,
        const=True,
        default=(),
        metavar="CODE,...",
        help="findings to pass over; 'flexpack check --codes' lists the codes",
    )


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add project and region."""
    parser.add_argument("--project", help="default: CLOUDSDK_CORE_PROJECT, GOOGLE_CLOUD_PROJECT")
    parser.add_argument("--region", help="default: CLOUDSDK_DATAFLOW_REGION, us-central1")


def add_timeout(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the limit of the command's waiting; the command knows its default."""
    parser.add_argument(
        "--timeout-sec",
        type=Number(0, float),
        metavar="SECONDS",
        help=f"longest wait for the job, which goes on after it (default: {default})",
    )


def add_environment_flags(parser: argparse.ArgumentParser, title: str) -> None:
    """Add a flag for each field of ``EnvironmentOptions``, by its name."""
    group = parser.add_argument_group(title)
    group.add_argument(
        "--accelerator",
        type=Accelerator.parse,
        metavar="TYPE[:COUNT[:DRIVER]][:mps]",
        help="GPUs of each worker, for example nvidia-l4:1; see 'flexpack accelerators'",
    )
    group.add_argument(
        "--worker-machine-type",
        metavar="TYPE",
        help="default with --accelerator: the smallest that takes the GPUs",
    )
    group.add_argument("--num-workers", type=Number(1), metavar="N", help="workers to start with")
    group.add_argument("--max-workers", type=Number(1), metavar="N", help="most workers at once")
    group.add_argument("--disk-size-gb", type=Number(1), metavar="GB", help="of each worker")
    group.add_argument("--sdk-container-image", metavar="IMAGE", help="the workers' image")
    group.add_argument("--launcher-machine-type", metavar="TYPE", help="of the launcher's VM")
    group.add_argument(
        "--staging-location",
        metavar="GCS_FOLDER",
        help="for the job's files, gs://BUCKET/FOLDER (default: a bucket that Dataflow makes)",
    )
    group.add_argument("--temp-location", metavar="GCS_FOLDER", help="default: staging location")
    group.add_argument("--worker-region", metavar="REGION", help="default: the job's")
    group.add_argument("--worker-zone", metavar="ZONE", help="default: Dataflow chooses one")
    group.add_argument(
        "--service-account-email", metavar="EMAIL", help="as whom launcher and workers act"
    )
    group.add_argument("--network", metavar="NETWORK", help="of launcher and workers")
    group.add_argument(
        "--subnetwork", metavar="SUBNETWORK", help="regions/REGION/subnetworks/NAME, or its URL"
    )
    group.add_argument(
        "--disable-public-ips", action="store_true", help="give workers private addresses only"
    )
    group.add_argument("--dataflow-kms-key", metavar="KEY", help="that encrypts the job's data")
    group.add_argument("--enable-streaming-engine", action="store_true")
    group.add_argument(
        "--additional-experiments",
        action=Items,
        const=True,
        default=(),
        metavar="NAME,...",
        help="of Dataflow, between commas",
    )
    group.add_argument(
        "--additional-pipeline-options",
        action=Items,
        default=(),
        metavar="NAME=VALUE",
        help="repeat the flag for each; the value may hold commas",
    )
    group.add_argument(
        "--additional-user-labels",
        action=KeyValues,
        const=True,
        default={},
        metavar="KEY=VALUE,...",
        help="of the job, between commas",
    )
